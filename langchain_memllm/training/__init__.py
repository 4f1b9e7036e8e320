"""Training of the MemLLM models: data in the paper's format, a synthetic world, fine-tuning with adapters.

``documents`` reads what others published, ``world`` makes texts about people who do not exist, ``data`` turns both into
what the writer and the reader are shown, ``examples`` into tokens and masks, ``packing`` into batches, ``finetune``
into adapters. See README.md in this folder for the commands.
"""
