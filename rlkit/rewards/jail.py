"""A jail for this process, from the standard library alone.

:func:`confine` binds the calling process and all that it starts, and cannot be undone. It puts together

- *resource limits*: address space, CPU time, no file may grow, no core;
- *no privileges*: none can be gained, and those of root are given up;
- *files*: Landlock (Linux 5.13 and later) leaves some folders readable and nothing writable; where the kernel
  has none, unprivileged namespaces with a file system of those folders alone;
- *system calls*: a seccomp filter refuses sockets, new processes and programs, signals and tracing of others,
  changes of files and mounts, and the like.

It must be called before anything starts threads, because Landlock and seccomp bind the calling thread. Linux
on x86-64 and AArch64; elsewhere :class:`JailError`. This file imports nothing of the package: a child runs it
by its path.
"""

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Sequence

MEMORY, SECONDS, FILES = 3 << 30, 20, 256
"""Bytes of address space (importing JAX takes more than one GiB), seconds of CPU time, open files."""


class JailError(OSError):
    """This machine cannot confine a process, or a part of the jail failed; nothing may run then."""


_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_DUMPABLE = 38, 22, 24, 4
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # of every architecture
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_NEWNS, _NEWUSER, _NEWNET, _NEWIPC = 0x20000, 0x10000000, 0x40000000, 0x8000000


def confine(
    readable: Sequence[str], *, memory: int = MEMORY, seconds: int = SECONDS, how: str = "", root: str = ""
) -> str:
    """Confine this process for the rest of its life.

    Args:
      readable: files and folders that may be read.
      memory: bytes of address space.
      seconds: of CPU time; the kernel then kills the process.
      how: ``"landlock"`` or ``"namespaces"``; empty: the first that the kernel has.
      root: an empty folder, for namespaces.

    Returns:
      How files are kept away.

    Raises:
      JailError: it could not be done.
    """
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES:
        raise JailError(f"no jail on {sys.platform} {platform.machine()}: it needs Linux, x86-64 or AArch64")
    readable = [path for path in dict.fromkeys(readable) if os.path.exists(path)]
    how = how or ("landlock" if landlock_version() else "namespaces")
    if how == "namespaces":  # before privileges are given up: they make them
        _namespaces(readable, root)
    _limits(memory, seconds)
    _call("prctl no_new_privs", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _call("prctl dumpable", _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    _drop_capabilities()
    if how == "landlock":
        _landlock(readable)
    elif how != "namespaces":
        raise JailError(f"how={how!r}: expected landlock or namespaces")
    _seccomp()
    return how


def landlock_version() -> int:
    """The version of Landlock that the kernel has; 0 if it has none."""
    return max(0, _libc.syscall(_LANDLOCK_CREATE, None, 0, 1))


def _call(what: str, result: int) -> int:
    if result < 0:
        raise JailError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _limits(memory: int, seconds: int) -> None:
    wanted = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: FILES,
    }
    for limit, value in wanted.items():
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def _drop_capabilities() -> None:
    """Root keeps its number and loses its powers."""
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails without privileges: then there are none
    header = struct.pack("=Ii", 0x20080522, 0)
    _call("capset", _libc.capset(ctypes.c_char_p(header), ctypes.c_char_p(bytes(24))))


def _landlock(readable: Sequence[str]) -> None:
    version = landlock_version()
    if not version:
        raise JailError("the kernel has no Landlock")
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)  # rights over files that the version knows
    attributes = struct.pack("=Q", (1 << bits) - 1)
    if version >= 4:
        attributes += struct.pack("=Q", 3)  # bind and connect of TCP
    if version >= 6:
        attributes += struct.pack("=Q", 3)  # abstract sockets and signals to processes outside
    rules = _call(
        "landlock", _libc.syscall(_LANDLOCK_CREATE, ctypes.c_char_p(attributes), len(attributes), 0)
    )
    for path in readable:
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
        rule = ctypes.c_char_p(struct.pack("=Qi", rights, at))
        _call(f"landlock {path}", _libc.syscall(_LANDLOCK_ADD, rules, 1, rule, 0))
        os.close(at)
    _call("landlock", _libc.syscall(_LANDLOCK_RESTRICT, rules, 0))
    os.close(rules)


def _namespaces(readable: Sequence[str], root: str) -> None:
    """Leave this process a file system that holds the readable paths alone, read-only, and no network."""
    if not root or not os.path.isdir(root):
        raise JailError(f"root={root!r}: expected an empty folder")
    user, group = os.getuid(), os.getgid()
    _call("unshare", _libc.unshare(_NEWUSER | _NEWNS | _NEWNET | _NEWIPC))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    bind, recursive, private, remount, read_only = 0x1000, 0x4000, 0x40000, 0x20, 0x1
    quiet = 0x2 | 0x4  # nosuid, nodev: flags of the original that a remount has to keep
    mount = lambda source, target, kind, flags: _call(
        f"mount {target}", _libc.mount(source, target.encode(), kind, flags, None)
    )
    mount(b"none", "/", None, recursive | private)
    mount(b"tmpfs", root, b"tmpfs", quiet)
    for path in readable:
        if os.path.realpath(path).startswith("/proc/self") or path.startswith("/proc/self"):
            continue
        target = root + path
        if os.path.isdir(path):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            open(target, "w").close()
        mount(path.encode(), target, None, bind | recursive)
        flags = quiet if not path.startswith("/dev/") else 0x2
        mount(None, target, None, bind | remount | read_only | flags)
    os.makedirs(root + "/old")
    pivot = {"x86_64": 155, "aarch64": 41}[platform.machine()]
    old = (root + "/old").encode()
    _call("pivot_root", _libc.syscall(pivot, ctypes.c_char_p(root.encode()), ctypes.c_char_p(old)))
    os.chdir("/")
    _call("umount", _libc.umount2(b"/old", 2))
    mount(None, "/", None, bind | remount | read_only | quiet)


# Numbers of system calls on x86-64 and AArch64; None where there is none.
_DENIED = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206),
    "sendmsg": (46, 211), "sendmmsg": (307, 269), "execve": (59, 221), "execveat": (322, 281),
    "fork": (57, None), "vfork": (58, None), "ptrace": (101, 117), "kill": (62, 129), "tkill": (200, 130),
    "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "creat": (85, None), "link": (86, None),
    "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36), "mknod": (133, None),
    "mknodat": (259, 33), "utime": (132, None), "utimes": (235, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "setns": (308, 268), "unshare": (272, 97),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "mount_setattr": (442, 442),
    "bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "userfaultfd": (323, 282), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "quotactl": (179, 60), "acct": (163, 89),
    "iopl": (172, None), "ioperm": (173, None), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "personality": (135, 92), "setuid": (105, 146), "setgid": (106, 144),
    "setreuid": (113, 145), "setresuid": (117, 147), "setresgid": (119, 149), "capset": (126, 91),
    "setrlimit": (160, 164), "setpriority": (141, 140), "sched_setaffinity": (203, 122),
    "fanotify_init": (300, 262), "inotify_init": (253, None), "inotify_init1": (294, 26),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "syslog": (103, 116), "vhangup": (153, 58),
}  # fmt: skip
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE, _CLONE3, _PRLIMIT = (56, 220), (435, 435), (302, 261)
# Whoever owns a file is sent a signal of choice when it can be read, and is chosen by these:
# F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY; FIOSETOWN, SIOCSPGRP, FIOASYNC, and TIOCSTI beside.
_COMMANDS = (((72, 25), (8, 10, 15, 1024, 1026)), ((16, 29), (0x8901, 0x8902, 0x5452, 0x5412)))
_THREAD, _EPERM, _ENOSYS = 0x10000, 1, 38


def _seccomp() -> None:
    """Refuse system calls, with an error instead of death so that libraries can do without."""
    which = list(_ARCHITECTURES).index(platform.machine())
    load, equal, above, bits, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, refuse = 0x7FFF0000, 0x80000000, lambda number: 0x00050000 | number
    number, arch, argument = 0, 4, lambda i: 16 + 8 * i  # places in what a filter sees
    program = [
        (load, 0, 0, arch), (equal, 1, 0, _ARCHITECTURES[platform.machine()]), (give, 0, 0, kill),
        (load, 0, 0, number), (above, 0, 1, 0x40000000), (give, 0, 0, refuse(_ENOSYS)),  # the x32 calls
    ]  # fmt: skip
    for numbers in _DENIED.values():
        if numbers[which] is not None:
            program += [(equal, 0, 1, numbers[which]), (give, 0, 0, refuse(_EPERM))]
    # Threads are allowed, processes are not; clone3 hides its flags, and glibc does without it.
    program += [(equal, 0, 1, _CLONE3[which]), (give, 0, 0, refuse(_ENOSYS))]
    program += [
        (equal, 0, 4, _CLONE[which]), (load, 0, 0, argument(0)), (bits, 1, 0, _THREAD),
        (give, 0, 0, refuse(_EPERM)), (give, 0, 0, allow),
    ]  # fmt: skip
    # Limits may be asked for and not set: the new ones are the third argument.
    program += [
        (equal, 0, 6, _PRLIMIT[which]), (load, 0, 0, argument(2)), (equal, 0, 3, 0),
        (load, 0, 0, argument(2) + 4), (equal, 0, 1, 0), (give, 0, 0, allow), (give, 0, 0, refuse(_EPERM)),
    ]  # fmt: skip
    for numbers, commands in _COMMANDS:
        lines = [(load, 0, 0, argument(1))]
        for command in commands:
            lines += [(equal, 0, 1, command), (give, 0, 0, refuse(_EPERM))]
        lines.append((give, 0, 0, allow))
        program += [(equal, 0, len(lines), numbers[which]), *lines]
    program.append((give, 0, 0, allow))
    packed = b"".join(struct.pack("=HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    _call("seccomp", _libc.prctl(_PR_SET_SECCOMP, 2, ctypes.c_char_p(header), 0, 0))
