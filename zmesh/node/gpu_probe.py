"""Reads this box's GPUs through NVML, one JSON line for each line of its input: the child process of ``gpu``.

A process of its own, for a call into a driver that died may never return, and light: NVML and the standard library.
Run by its path; it needs nothing of zmesh. Ends with its input.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

GPUS_MAX = 64
UTILISATION_UNKNOWN = 0
MEMORY_UNKNOWN = 0


class Probe:
    """NVML, initialised once; a reading afterwards."""

    def __init__(self, nvml: Any) -> None:
        """Raises nvml.NVMLError when there is no library or no driver."""
        self._nvml = nvml
        nvml.nvmlInit()

    def read(self) -> dict[str, Any]:
        """``gpus``, and under ``lost`` why each index that does not answer does not. Raises nvml.NVMLError."""
        gpus, lost = [], {}
        for index in range(min(self._nvml.nvmlDeviceGetCount(), GPUS_MAX)):
            try:
                gpus.append(self._gpu(index))
            except self._nvml.NVMLError as error:
                lost[str(index)] = str(error)
        return {"gpus": gpus, "lost": lost}

    def _gpu(self, index: int) -> dict[str, Any]:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(handle)
        memory = self._if_supported(nvml.nvmlDeviceGetMemoryInfo, handle)
        utilisation = self._if_supported(nvml.nvmlDeviceGetUtilizationRates, handle)
        return {
            "index": index,
            "name": name,
            "memory_bytes": memory.total if memory else MEMORY_UNKNOWN,
            "memory_free_bytes": memory.free if memory else MEMORY_UNKNOWN,
            "utilisation_percent": min(utilisation.gpu, 100) if utilisation else UTILISATION_UNKNOWN,
        }

    def _if_supported(self, query: Callable[[Any], Any], handle: Any) -> Any:
        """The answer, or None from a GPU that has no such figure: one that shares its host's memory, a virtual one."""
        try:
            return query(handle)
        except self._nvml.NVMLError as error:
            if error.value in (self._nvml.NVML_ERROR_NOT_SUPPORTED, self._nvml.NVML_ERROR_NO_PERMISSION):
                return None
            raise


def main() -> int:
    """Answer each line of the input; the first failure is told and ends the process, which the node starts again."""
    try:
        import pynvml as nvml
    except ImportError:
        return _tell(absent="nvidia-ml-py is not installed (zmesh-bus[gpu])", for_good=True)
    try:
        probe = Probe(nvml)
        for _ in sys.stdin:
            _tell(**probe.read())
    except nvml.NVMLError as error:
        # Without the library this is no box with NVIDIA's GPUs; a driver may still be loaded, or come back.
        return _tell(absent=str(error), for_good=error.value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    return 0


def _tell(**reading: Any) -> int:
    print(json.dumps(reading), flush=True)  # noqa: T201  the node reads it
    return 0


if __name__ == "__main__":
    sys.exit(main())
