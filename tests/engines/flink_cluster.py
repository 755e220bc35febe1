"""A standalone Flink cluster of plain Java processes on this machine.

A job manager and task managers that can be killed one by one. Everything binds to localhost, and
each process has a process group of its own, which the Python workers that it starts belong to.
All run from the jar of Beam's job server, which has the whole of Flink in it.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

START_SECONDS = 90
STOP_SECONDS = 15

# What Flink reaches into on Java 17, as its own scripts say.
OPENED = ("lang", "net", "io", "nio", "lang.reflect", "text", "time", "util", "util.concurrent",
          "util.concurrent.atomic", "util.concurrent.locks")  # fmt: skip
JAVA = (
    "java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in OPENED),
)  # fmt: skip
JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"


class FlinkCluster:
    """`with FlinkCluster(jar, directory) as cluster`: runs while inside."""

    def __init__(self, jar: Path, directory: Path, task_managers: int = 2, slots: int = 2):
        """Nothing is started yet.

        Args:
          jar: of Beam's job server.
          directory: for configuration and logs; it must not exist.
          task_managers: how many.
          slots: of each; a job whose parallelism is not more survives with one task manager.
        """
        self._jar, self._directory = jar, directory
        self._count, self._slots = task_managers, slots
        self._rest_port, self._rpc_port = _free_port(), _free_port()
        self._processes: list[subprocess.Popen] = []  # the job manager, then the task managers
        self.address = f"localhost:{self._rest_port}"

    def __enter__(self) -> Self:
        """Returns when all slots are there."""
        (self._directory / "tmp").mkdir(parents=True)
        lines = [f"{key}: {value}\n" for key, value in self._configuration().items()]
        (self._directory / "flink-conf.yaml").write_text("".join(lines))
        try:
            self._start("job-manager", JOB_MANAGER)
            for i in range(self._count):
                self._start(f"task-manager-{i}", TASK_MANAGER, f"taskmanager.resource-id={i}")
            self._wait_for_slots()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Ends all processes, and the workers that they have started."""
        self._stop()

    def failures(self) -> list[int]:
        """How often each job has failed and was started again, in the order of the jobs."""
        jobs = sorted(self._get("/jobs/overview")["jobs"], key=lambda job: job["start-time"])
        histories = [self._get(f"/jobs/{job['jid']}/exceptions") for job in jobs]
        return [len(found["exceptionHistory"]["entries"]) for found in histories]

    def kill_task_manager(self, i: int) -> None:
        """Kills a task manager with its Python workers, as when a machine goes off."""
        process = self._processes[1 + i]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _configuration(self) -> dict[str, Any]:
        temporary = self._directory / "tmp"
        return {
            "jobmanager.rpc.address": "localhost",
            "jobmanager.rpc.port": self._rpc_port,
            "jobmanager.bind-host": "localhost",
            "rest.address": "localhost",
            "rest.port": self._rest_port,
            "rest.bind-address": "localhost",
            "taskmanager.host": "localhost",
            "taskmanager.bind-host": "localhost",
            "taskmanager.numberOfTaskSlots": self._slots,
            "taskmanager.load-balance.mode": "SLOTS",  # a job gets slots of both
            # Beam's classes come from the class path, so workers may outlive a stage of a job.
            "classloader.resolve-order": "parent-first",
            # Beam cannot set the restart strategy. It must outlast the heartbeat's timeout: until
            # then a job that starts again may be given slots of a dead task manager.
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 30,
            "restart-strategy.fixed-delay.delay": "1 s",
            "heartbeat.interval": 2000,
            "heartbeat.timeout": 10000,
            # Flink's scripts would work these out. One task manager can take a whole job.
            "taskmanager.cpu.cores": float(self._slots),
            "taskmanager.memory.framework.heap.size": "128m",
            "taskmanager.memory.framework.off-heap.size": "128m",
            "taskmanager.memory.task.heap.size": "256m",
            "taskmanager.memory.task.off-heap.size": "0m",
            "taskmanager.memory.network.min": "192m",
            "taskmanager.memory.network.max": "192m",
            "taskmanager.memory.managed.size": "64m",
            "taskmanager.memory.jvm-metaspace.size": "256m",
            "taskmanager.memory.jvm-overhead.min": "192m",
            "taskmanager.memory.jvm-overhead.max": "192m",
            "io.tmp.dirs": temporary,
            "web.tmpdir": temporary,
            "blob.storage.directory": temporary,
        }

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as response:
            return json.load(response)

    def _start(self, name: str, main_class: str, *settings: str) -> None:
        command = [
            *JAVA,
            f"-Djava.io.tmpdir={self._directory}/tmp", "-cp", str(self._jar), main_class,
            "--configDir", str(self._directory),
        ]  # fmt: skip
        for setting in settings:
            command += ["-D", setting]
        environment = os.environ | {"TMPDIR": f"{self._directory}/tmp"}
        with (self._directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._processes.append(process)

    def _wait_for_slots(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if any(process.poll() is not None for process in self._processes):
                break
            with contextlib.suppress(OSError):  # it does not answer yet
                if self._get("/overview")["slots-total"] == self._count * self._slots:
                    return
            time.sleep(0.2)
        raise RuntimeError(f"the Flink cluster did not come up, see the logs in {self._directory}")

    def _stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self._directory / "tmp")  # it holds a copy of the jar for each job


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return taken.getsockname()[1]
