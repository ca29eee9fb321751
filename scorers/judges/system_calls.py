"""The filter of system calls for a sandbox, in the kernel's own form.

It refuses sockets and new processes, since a limit of processes does not hold for root, and memory
that no limit counts. The form is that of linux/filter.h and seccomp.h; the numbers are those of
linux/audit.h and the kernel's tables of system calls.
"""

import struct

from siftline.contracts.errors import ModelError

# By machine its number in the filter, `clone`, and what is refused: fork and vfork where there are
# any; unshare; socket, since some families know no namespaces; and memory that no limit counts
# (shmget, memfd_create, io_uring_setup).
_MACHINES = {
    "x86_64": (0xC000003E, 56, (57, 58, 272, 41, 29, 319, 425)),
    "aarch64": (0xC00000B7, 220, (97, 198, 194, 279, 425)),
}
_CLONE3 = 435  # hides its flags from a filter; without it the C library takes `clone`
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000  # system calls of another numbering on x86_64
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38


def system_call_filter(machine: str) -> bytes:
    """Return the filter for a machine, as bubblewrap reads it.

    Args:
        machine: As :func:`platform.machine` names it.

    Raises:
        ModelError: The numbers of this machine's system calls are not known.
    """
    if machine not in _MACHINES:
        raise ModelError(
            f"The judge 'execution' knows no sandbox for the machine '{machine}', but for "
            f"{' and '.join(sorted(_MACHINES))}; choose the judge 'numeric' or 'judge'."
        )
    number, clone, refused = _MACHINES[machine]
    load, equal, atleast, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    steps = [(load, 0, 0, 4), (equal, 1, 0, number), (answer, 0, 0, _KILL), (load, 0, 0, 0)]
    steps += [(atleast, 0, 1, _X32), (answer, 0, 0, _KILL)]
    steps += [(equal, 0, 1, _CLONE3), (answer, 0, 0, _ERROR | _ENOSYS)]
    for call in refused:
        steps += [(equal, 0, 1, call), (answer, 0, 0, _ERROR | _EPERM)]
    steps += [(equal, 0, 3, clone), (load, 0, 0, 16), (any_bit, 1, 0, _CLONE_THREAD)]
    steps += [(answer, 0, 0, _ERROR | _EPERM), (answer, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
