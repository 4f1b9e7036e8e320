"""A local Neo4j Community server without Docker or an installer: for tests, demos and a first look.

The server's own artifacts are fetched from Maven Central once, into a cache, and started with the Java that is on the
machine, as a separate process that listens on loopback only. Nothing here knows what is stored in it.

    with LocalServer.start() as server:
        memory = MemLLMMemory(server.uri, ...)

A server without a ``home`` is temporary: its data go when it stops, and it dies with the process that started it.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

from langchain_memllm import private
from langchain_memllm.errors import ConfigurationError, MissingExtra, StoreUnavailable

__all__ = ["DEFAULT_VERSION", "LocalServer", "default_home", "docker_line", "find_java"]

DEFAULT_VERSION: Final = "5.26.30"
"""The long-term support release that is started unless another one is asked for."""

_BROWSER_VERSION: Final = "5.24.0"
_POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>neo4j-community</artifactId><version>1</version><dependencies>
<dependency><groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>{version}</version></dependency>
<dependency><groupId>org.neo4j.app</groupId><artifactId>neo4j-server</artifactId><version>{version}</version></dependency>
<dependency><groupId>org.neo4j.client</groupId><artifactId>neo4j-browser</artifactId><version>{browser}</version>
</dependency></dependencies></project>
"""
_CONF: Final = """server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:{bolt}
server.bolt.advertised_address=localhost:{bolt}
server.http.listen_address=127.0.0.1:{http}
server.http.advertised_address=localhost:{http}
server.https.enabled=false
server.memory.pagecache.size=256m
dbms.usage_report.enabled=false
client.allow_telemetry=false
dbms.security.auth_enabled=true
server.bolt.telemetry.enabled=false
dbms.security.http_static_content_security_policy_header={csp}
"""
# Neo4j Browser asks outside for fonts and trackers, also with telemetry off; this lets it talk to this machine only.
_CSP: Final = (
    "default-src 'self'; script-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "
    "connect-src 'self' ws://localhost:* ws://127.0.0.1:* http://localhost:*"
)
# Bolt waits twice five seconds for nothing when the server stops, long after the databases are closed.
_CONF_5: Final = "internal.dbms.bolt.netty_server_shutdown_quiet_period=0\n"
_CONF_YEARS: Final = """internal.dbms.bolt.netty_server_shutdown_quiet_period_duration=0s
server.fleet_discovery.enabled=false
"""
_JAVA_FLAGS: Final = (
    "-Xms256m",
    "-Xmx1g",
    "-XX:+ExitOnOutOfMemoryError",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-modules=jdk.incubator.vector",
)
# Ends a temporary server and deletes its home when the pipe to its parent closes, which happens however that dies.
_WATCH: Final = """import os, shutil, signal, sys, time
sys.stdin.buffer.read()
try:
    os.kill(int(sys.argv[1]), signal.SIGKILL)
except OSError:
    pass
for _ in range(100):
    shutil.rmtree(sys.argv[2], ignore_errors=True)
    if not os.path.exists(sys.argv[2]):
        break
    time.sleep(0.1)
"""
_USUAL_PORTS: Final = (7687, 7474)
_STATE: Final = "server.json"
_PASSWORD: Final = "password"  # noqa: S105 - the name of a file
_log = logging.getLogger(__name__)


def default_home() -> Path:
    """Where ``memllm neo4j start`` keeps its server: MEMLLM_NEO4J_HOME, else in the user's data folder."""
    if os.environ.get("MEMLLM_NEO4J_HOME"):
        return Path(os.environ["MEMLLM_NEO4J_HOME"]).expanduser().resolve()
    root = os.environ.get("XDG_DATA_HOME")
    return (Path(root) if root else Path.home() / ".local" / "share") / "langchain-memllm" / "neo4j"


def docker_line(version: str = DEFAULT_VERSION) -> str:
    """The command that starts the same server with Docker instead."""
    return (
        "docker run --rm -p 127.0.0.1:7474:7474 -p 127.0.0.1:7687:7687 "
        f"-e NEO4J_AUTH=neo4j/choose-a-password neo4j:{version}"
    )


@dataclass(frozen=True, slots=True)
class _State:
    """What a later process needs to know about the server of a home folder."""

    version: str
    bolt: int
    http: int
    pid: int


class LocalServer:
    """A running Neo4j Community server on loopback; use ``start`` or ``attach`` to get one.

    Attributes:
        uri: Bolt address, ``bolt://127.0.0.1:PORT``.
        http_uri: Where Neo4j Browser is, ``http://localhost:PORT``.
        user: User name, always ``neo4j``.
        password: Random; also in the file ``password`` (mode 0600) of the home folder. Never shown by ``repr``.
        home: Folder with data, configuration and logs.
        version: Version of the server.
    """

    user: Final = "neo4j"

    def __init__(self, home: Path, state: _State, *, temporary: bool) -> None:
        """Take over the server of ``home``; use ``start`` or ``attach`` instead."""
        self.home, self.version, self.temporary = home, state.version, temporary
        self.password = (home / _PASSWORD).read_text(encoding="ascii")
        self._state = state
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        home: str | Path | None = None,
        version: str = DEFAULT_VERSION,
        *,
        usual_ports: bool = False,
        settings: Mapping[str, str] | None = None,
        timeout: float = 90.0,
    ) -> LocalServer:
        """Start a server and wait until it answers (4 to 10 s; the first time also the download of about 130 MB).

        Args:
            home: Folder that keeps data, password and logs; created if absent. Such a server outlives this process.
                None: a temporary server whose data are deleted by ``stop``.
            version: Release to run; 5.26 needs Java 17 or 21, 2025 and later Java 21 or newer.
            usual_ports: For a new home, take 7687 and 7474 if they are free, so that ``neo4j://localhost`` is enough.
            settings: For a new home, more lines of its ``neo4j.conf``; it can be edited there later.
            timeout: Longest wait for the server to answer, in seconds.

        Raises:
            MissingExtra: No fitting Java, or no Maven for the first download.
            StoreUnavailable: The download failed, the home's server is already running, a port is taken, or it does not
                answer.
            ConfigurationError: The version is not a release number, or the home belongs to another version.
        """
        java = find_java(version)
        jars = _resolve(version, java)
        temporary = home is None
        folder = Path(tempfile.mkdtemp(prefix="memllm-neo4j-")) if home is None else Path(home).expanduser().resolve()
        if not temporary and cls.attach(folder) is not None:
            raise StoreUnavailable(f"the server of {folder} is already running; use it, or stop it first")
        server = cls(folder, _prepare(folder, version, usual_ports, settings or {}), temporary=temporary)
        try:
            server._run(java, jars, timeout)
        except BaseException:
            server.stop()
            raise
        return server

    @classmethod
    def attach(cls, home: str | Path) -> LocalServer | None:
        """The running server of a home folder, or None if there is none."""
        folder = Path(home).expanduser().resolve()
        state = _read_state(folder)
        return cls(folder, state, temporary=False) if state is not None and _runs(state.pid, folder) else None

    @classmethod
    def behind(cls, uri: str) -> LocalServer | None:
        """The running server of ``default_home()`` if that is what an address means, else None.

        The server's own process is looked for, not just its port: nobody else who listens there gets its password.
        """
        try:
            parts = urlsplit(uri)
            host, port = parts.hostname, parts.port or 7687
        except ValueError:
            return None
        if parts.scheme not in ("neo4j", "bolt") or host not in ("localhost", "127.0.0.1") or "@" in uri:
            return None
        server = cls.attach(default_home())
        return server if server is not None and server.bolt_port == port else None

    @property
    def bolt_port(self) -> int:
        """Port of the Bolt address."""
        return self._state.bolt

    @property
    def uri(self) -> str:
        """Bolt address."""
        return f"bolt://127.0.0.1:{self._state.bolt}"

    @property
    def http_uri(self) -> str:
        """Address of Neo4j Browser."""
        return f"http://localhost:{self._state.http}"

    @property
    def pid(self) -> int:
        """Process id of the server; 0 before the first start."""
        return self._state.pid

    @property
    def is_running(self) -> bool:
        """Whether the server's process is alive."""
        ended = self._process is not None and self._process.poll() is not None
        return not ended and _runs(self.pid, self.home)

    def stop(self, timeout: float = 30.0) -> None:
        """Shut the server down cleanly and wait for it; a temporary one is deleted. Safe to call twice."""
        self._end(signal.SIGKILL if self.temporary else signal.SIGTERM, timeout)
        if self.temporary:
            shutil.rmtree(self.home, ignore_errors=True)
            atexit.unregister(self.stop)

    def kill(self) -> None:
        """End the server's process at once, as a crash would (SIGKILL); the home stays for ``restart``."""
        self._end(signal.SIGKILL, 10.0)

    def restart(self, timeout: float = 90.0) -> None:
        """Start the server of this home again, on the same ports and with the same data; stop it first if it runs."""
        self._end(signal.SIGTERM, 30.0)
        java = find_java(self.version)
        self._run(java, _resolve(self.version, java), timeout)

    def __enter__(self) -> LocalServer:
        """The server itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def __repr__(self) -> str:
        """Address and process, without the password."""
        return f"LocalServer(uri={self.uri!r}, user={self.user!r}, password='***', pid={self.pid})"

    def _run(self, java: Path, jars: Path, timeout: float) -> None:
        for port in (self._state.bolt, self._state.http):
            if _answers(port):
                raise StoreUnavailable(
                    f"port {port} of the server of {self.home} is taken by another program; stop that program, "
                    "or use another home"
                )
        command = [str(java), "-cp", f"{jars}{os.sep}*", *_JAVA_FLAGS, _main_class(self.version)]
        command += [f"--home-dir={self.home}", f"--config-dir={self.home / 'conf'}"]
        with private.opened(self.home / "logs" / "console.log") as console:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
        self._state = _State(self.version, self._state.bolt, self._state.http, self._process.pid)
        _write_private(self.home / _STATE, json.dumps(asdict(self._state)))
        if self.temporary:
            watch = [sys.executable, "-I", "-S", "-c", _WATCH, str(self._process.pid), str(self.home)]
            self._watch = subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
            atexit.register(self.stop)
        self._await_ready(time.monotonic() + timeout)
        _log.info("neo4j %s is ready, pid %d, bolt port %d", self.version, self.pid, self._state.bolt)

    def _await_ready(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            if not self.is_running:
                raise StoreUnavailable(f"Neo4j {self.version} ended while starting; its last words:\n{self._tail()}")
            if _answers(self._state.bolt) and _query(self.uri, self.user, self.password):
                return
            time.sleep(0.1)
        raise StoreUnavailable(
            f"Neo4j {self.version} did not answer at {self.uri} in time; its last words:\n{self._tail()}"
        )

    def _tail(self) -> str:
        log = self.home / "logs" / "console.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        return "\n".join(lines[-15:])

    def _end(self, sign: signal.Signals, timeout: float) -> None:
        if self._watch is not None:  # first, so that it never signals a process id that is no longer ours
            self._watch.kill()
            self._watch.communicate()
            self._watch = None
        if self.is_running:
            os.kill(self.pid, sign)
            if not self._wait(timeout):
                os.kill(self.pid, signal.SIGKILL)
                self._wait(10.0)
        if self._process is not None:
            self._process.wait(10.0)
            self._process = None

    def _wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.is_running:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def find_java(version: str = DEFAULT_VERSION) -> Path:
    """The ``java`` command that fits a server version: in JAVA_HOME, in PATH, or among the usual folders.

    Raises:
        MissingExtra: None fits.
        ConfigurationError: The version is not a release number.
    """
    wanted = (17, 21) if _year(version) == 5 else tuple(range(21, 100))
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    on_path = shutil.which("java")
    homes += [Path(on_path).resolve().parent.parent] if on_path else []
    for folder in ("/usr/lib/jvm", "/Library/Java/JavaVirtualMachines", "/opt/java"):
        for found in sorted(Path(folder).glob("*")):
            homes += [found, found / "Contents" / "Home"]
    for home in homes:
        if _java_major(home) in wanted:
            return home / "bin" / "java"
    needed = "Java 17 or 21" if 17 in wanted else "Java 21 or newer"
    raise MissingExtra(
        f"A local Neo4j {version} server",
        "neo4j",
        f"install {needed} (Debian: apt-get install openjdk-{wanted[0]}-jre-headless maven), "
        f"or use Docker: {docker_line(version)}",
    )


def _java_major(home: Path) -> int:
    """Major version of the Java in ``home`` from its ``release`` file, or by asking it; 0 if there is none."""
    java = home / "bin" / "java"
    if not java.exists():
        return 0
    release = home / "release"
    if release.exists():
        text = release.read_text(encoding="utf-8", errors="replace")
    else:
        text = subprocess.run([str(java), "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    found = re.search(r'(?:JAVA_VERSION=|version )"(\d+)', text)
    return int(found.group(1)) if found else 0


def _year(version: str) -> int:
    """First number of a release: 5, or the year."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ConfigurationError(f"{version!r} is not a Neo4j release number; use one like {DEFAULT_VERSION!r}")
    return int(version.split(".")[0])


def _main_class(version: str) -> str:
    return "org.neo4j.server.CommunityEntryPoint" if _year(version) == 5 else "org.neo4j.server.Neo4jCommunity"


def _cache() -> Path:
    if os.environ.get("MEMLLM_CACHE"):
        return Path(os.environ["MEMLLM_CACHE"]).expanduser()
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "langchain-memllm"


def _resolve(version: str, java: Path) -> Path:
    """Folder with the server's jars, fetched by Maven at the first use; two processes may do so at once."""
    target = _cache() / "neo4j" / version
    if target.is_dir():
        return target
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingExtra(
            f"The download of Neo4j {version}",
            "neo4j",
            f"install Maven (Debian: apt-get install maven), or use Docker: {docker_line(version)}",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{version}-") as work:
        (Path(work) / "pom.xml").write_text(_POM.format(version=version, browser=_BROWSER_VERSION), encoding="utf-8")
        command = [maven, "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
        _log.info("fetching neo4j %s with Maven", version)
        done = subprocess.run(  # noqa: S603
            [*command, f"-DoutputDirectory={work}/jars"],
            cwd=work,
            env={**os.environ, "JAVA_HOME": str(java.parent.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0 or not any(Path(work, "jars").glob("neo4j-server-*.jar")):
            words = re.sub(r"//[^/@\s]*@", "//***@", done.stdout + done.stderr).strip().splitlines()
            raise StoreUnavailable(
                f"Maven could not fetch Neo4j {version} (is the network or the version wrong?):\n"
                + "\n".join(words[:8])
            )
        with contextlib.suppress(OSError):  # another process was faster: its folder is as good
            os.rename(Path(work) / "jars", target)
    return target


def _prepare(home: Path, version: str, usual_ports: bool, settings: Mapping[str, str]) -> _State:
    """Make or check the home folder: configuration, password, ports."""
    old = _read_state(home)
    if old is not None:
        if _year(old.version) > _year(version):
            raise ConfigurationError(
                f"the data in {home} are of Neo4j {old.version}; start that version or a later one, not {version}"
            )
        return _State(version, old.bolt, old.http, 0)
    private.make_folders(home / "conf")
    bolt, http = _USUAL_PORTS if usual_ports and all(map(_is_free, _USUAL_PORTS)) else _free_ports()
    conf = _CONF.format(bolt=bolt, http=http, csp=_CSP) + (_CONF_5 if _year(version) == 5 else _CONF_YEARS)
    conf += "".join(f"{name}={value}\n" for name, value in settings.items())
    _write_private(home / "conf" / "neo4j.conf", conf)
    password = secrets.token_urlsafe(24)
    _write_private(home / _PASSWORD, password)
    _write_private(home / "data" / "dbms" / "auth.ini", _credential("neo4j", password))
    state = _State(version, bolt, http, 0)
    _write_private(home / _STATE, json.dumps(asdict(state)))
    return state


def _credential(user: str, password: str) -> str:
    """Line that sets the first password, so that the server is never up with the well-known one."""
    salt, rounds = secrets.token_bytes(32), 1024
    digest = hashlib.sha256(salt + password.encode()).digest()
    for _ in range(rounds - 1):
        digest = hashlib.sha256(digest).digest()
    return f"{user}:SHA-256,{digest.hex().upper()},{salt.hex().upper()},{rounds}:\n"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return int(first.getsockname()[1]), int(second.getsockname()[1])


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; a reader never sees half of it."""
    private.make_folders(path.parent)
    with private.replaced(path) as file:
        file.write(text)


def _read_state(home: Path) -> _State | None:
    path = home / _STATE
    return _State(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _runs(pid: int, home: Path) -> bool:
    """Whether ``pid`` is alive and, where the system tells, is the server of ``home``."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        command = (process / "cmdline").read_bytes()
    except OSError:  # gone meanwhile, or a system without /proc
        return not process.parent.is_dir()
    return state not in "ZX" and (not command or f"--home-dir={home}".encode() in command)  # none: on its way out


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def _query(uri: str, user: str, password: str) -> bool:
    """Whether the database answers a query; one try, without the driver's growing pauses."""
    from neo4j import GraphDatabase
    from neo4j.exceptions import DriverError, Neo4jError

    driver = GraphDatabase.driver(
        uri, auth=(user, password), max_transaction_retry_time=0, connection_timeout=2.0, telemetry_disabled=True
    )
    with driver:
        try:
            driver.execute_query("RETURN 1", database_="neo4j")
        except (DriverError, Neo4jError):
            return False
    return True
