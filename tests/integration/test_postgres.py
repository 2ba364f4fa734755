"""The shared server of docs/deploy.md: PostgreSQL as Prefect's database."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import parameters, small_config
from tests.integration.test_deployment import DEADLINE, MAKE, Server, free_port, launch

PROGRAMS = os.pathsep.join([os.environ["PATH"], "/usr/lib/postgresql/15/bin"])
ROLE = "postgres" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root."""


class Postgres:
    """A PostgreSQL cluster on loopback, with the role and the database that docs/deploy.md makes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.connection = f"postgresql+asyncpg://prefect:secret@127.0.0.1:{self.port}/prefect"

    def call(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(shutil.which(program, path=PROGRAMS)), *arguments], user=ROLE, cwd=self.folder, capture_output=True,
            text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, sql: str, database: str = "postgres") -> str:
        """What the cluster's owner is told."""
        at = ("-h", str(self.folder), "-p", str(self.port))
        return self.call("psql", *at, "-U", "postgres", "-d", database, "-Atqc", sql).strip()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    if shutil.which("initdb", path=PROGRAMS) is None:
        pytest.skip("no PostgreSQL")
    # of its own, as PostgreSQL's user may not enter pytest's folders
    with tempfile.TemporaryDirectory(prefix="pricing-postgres-") as name:
        folder = Path(name)
        if ROLE:
            shutil.chown(folder, ROLE)
        it = Postgres(folder)
        it.call("initdb", "-D", "data", "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
        start = f"-p {it.port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        it.call("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", start, "start")
        try:
            it.ask("CREATE ROLE prefect LOGIN PASSWORD 'secret'")
            it.ask("CREATE DATABASE prefect OWNER prefect")
            yield it
        finally:
            it.call("pg_ctl", "-D", "data", "-m", "fast", "-w", "stop")


@pytest.mark.slow
def test_a_server_on_postgresql_runs_what_is_deployed(postgres: Postgres, tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = postgres.connection
    with server.running("server", "make", *MAKE, "server"):
        server.wait_until_up()
        server.make("deploy")
        with server.running("worker", "make", *MAKE, "worker"):
            given = parameters(small_config(tmp_path / "artifacts"))
            run = launch(server, "pricing-sample/demo", rows=100, output=tmp_path / "out", **given)
            server.wait_for(run, "COMPLETED")
    assert (tmp_path / "out" / "submission.csv").exists()
    rows = "SELECT name, state_type FROM flow_run"
    assert postgres.ask(rows, "prefect").endswith("|COMPLETED")
    # the password is in no log, and nothing went into a file beside
    logs = [path.read_text(encoding="utf-8") for path in server.log.iterdir()]
    assert not any("secret" in text for text in logs)
    assert not list(tmp_path.rglob("prefect.db"))
