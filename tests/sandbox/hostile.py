"""Programs that try to get out of the sandbox, or to use it up: source and how each may end.

A program that finds itself contained ends "ok" or "raised"; `LEAK` in what it prints is a failure.
"""

CONTAINED = ("ok", "raised", "memory")

PROGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "fork bomb": ("import os\nwhile True: os.fork()", ("raised",)),
    "vfork through posix_spawn": (
        "import os, sys\nos.posix_spawn(sys.executable, [sys.executable, '-c', '0'], {})",
        ("raised",),
    ),
    "subprocess": ("import subprocess\nsubprocess.run(['/bin/sh', '-c', 'id'])", ("raised",)),
    "multiprocessing": (
        "import multiprocessing as m\np = m.Process(target=print)\np.start()",
        ("raised",),
    ),
    "daemon": ("import os\nif os.fork() == 0:\n    os.setsid()\n    while True: pass", ("raised",)),
    "thread bomb": (
        "import threading as t, time\nwhile True: t.Thread(target=time.sleep, args=(60,)).start()",
        ("raised", "memory", "time", "exit"),
    ),
    "memory bomb": ("x = []\nwhile True: x.append(bytearray(10**7))", ("memory",)),
    "memory in segments that outlive their mapping": (
        "import ctypes\nc = ctypes.CDLL(None)\nc.shmat.restype = ctypes.c_void_p\n"
        "for i in range(100):\n"
        "    s = c.shmget(0, 10**7, 0o1600)\n"
        "    if s < 0: raise MemoryError\n"
        "    p = c.shmat(s, None, 0)\n    ctypes.memset(p, 1, 10**7)\n"
        "    c.shmdt(ctypes.c_void_p(p))\n"
        "print('LEAK')",
        ("memory",),
    ),
    "memory in files without a name": (
        "import os\nfor i in range(40):\n    os.write(os.memfd_create(str(i)), bytes(10**7))\n"
        "print('LEAK')",
        ("raised",),
    ),
    "memory bomb in one piece": ("x = bytearray(10**12)", ("memory",)),
    "exponential string": ("x = 'x'\nwhile True: x += x", ("memory",)),
    "huge integer": ("x = 9 ** 9 ** 9 ** 9", ("time",)),
    "catastrophic regex": ("import re\nre.match('(a+)+$', 'a' * 60 + 'b')", ("time",)),
    "endless loop": ("while True: pass", ("time",)),
    "endless sleep": ("import time\ntime.sleep(10**6)", ("time",)),
    "endless loop that catches all": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        ("time",),
    ),
    "ignored signals": (
        "import signal\n"
        "for s in range(1, 65):\n"
        "    try: signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\n"
        "while True: pass",
        ("time",),
    ),
    "alarm handler": (
        "import signal\nsignal.signal(signal.SIGXCPU, lambda *a: None)\nwhile True: pass",
        ("time",),
    ),
    "raised limits": (
        "import resource as r\n"
        "for name in ('RLIMIT_CPU', 'RLIMIT_AS', 'RLIMIT_FSIZE', 'RLIMIT_NOFILE'):\n"
        "    try: r.setrlimit(getattr(r, name), (r.RLIM_INFINITY, r.RLIM_INFINITY))\n"
        "    except (OSError, ValueError): continue\n"
        "    print('LEAK', name)",
        ("ok",),
    ),
    "endless output": ("while True: print('x' * 1000)", ("output",)),
    "endless errors": (
        "import sys\nwhile True: sys.stderr.write('x' * 1000)",
        ("output",),
    ),
    "one huge line": ("print('x' * 10**8)", ("output", "memory")),
    "large file": ("open('big', 'wb').write(bytes(10**8))", ("raised", "memory", "exit")),
    "many files": (
        "for i in range(10**6): open(str(i), 'wb').write(bytes(10**5))",
        ("raised", "time"),
    ),
    "many descriptors": ("x = [open('/dev/null') for _ in range(1000)]", ("raised",)),
    "internet": (
        "import socket\nsocket.create_connection(('1.1.1.1', 80), 2)\nprint('LEAK')",
        ("raised",),
    ),
    "loopback": (
        "import socket\nsocket.socket().bind(('127.0.0.1', 0))\nprint('LEAK')",
        ("raised",),
    ),
    "unix socket": (
        "import socket\nsocket.socket(socket.AF_UNIX).bind('s')\nprint('LEAK')",
        ("raised",),
    ),
    "urllib": (
        "import urllib.request\nurllib.request.urlopen('http://example.com', timeout=2)",
        ("raised",),
    ),
    "passwords": ("print('LEAK', open('/etc/passwd').read())", ("raised",)),
    "home": (
        "import os\n"
        "names = ('.bash', '.profile', '.ssh', '.git', '.netrc', 'id_', 'passwd')\n"
        "for d in ('/root', '/home', '/etc', '/var', '/opt', '/srv', '/mnt', '/run'):\n"
        "    for where, folders, files in os.walk(d):\n"
        "        for f in folders + files:\n"
        "            if f.startswith(names): print('LEAK', where, f)",
        ("ok",),
    ),
    "environment": (
        "import os\nprint('LEAK' if set(os.environ) - {'PWD', 'LC_CTYPE'} else 'clean')",
        ("ok",),
    ),
    "proc": (
        "import os\n"
        "for path in ('/proc/1/environ', '/proc/self/maps', '/proc/1/root/etc/passwd', '/sys'):\n"
        "    if os.path.exists(path): print('LEAK', path)",
        ("ok",),
    ),
    "other processes": (
        "import os, signal\n"
        "for pid in range(1, 5000):\n"
        "    try: os.kill(pid, 0)\n"
        "    except ProcessLookupError: continue\n"
        "    if pid != os.getpid(): print('LEAK', pid)",
        ("ok",),
    ),
    "kill all": ("import os, signal\nos.kill(-1, signal.SIGKILL)", CONTAINED),
    "kill the parent": (
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(1, signal.SIGKILL)",
        (*CONTAINED, "exit", "time"),
    ),
    "symlink to the outside": (
        "import os\nos.symlink('/etc/passwd', 'link')\nprint('LEAK', open('link').read())",
        ("raised",),
    ),
    "dot dot": ("print('LEAK', open('/tmp/../../../../etc/passwd').read())", ("raised",)),
    "write to the interpreter": (
        "import os\n"
        "open(os.path.join(os.path.dirname(os.__file__), 'planted.py'), 'w').write('0')\n"
        "print('LEAK')",
        ("raised",),
    ),
    "write to the server": (
        "import sys\n"
        "path = next(p for p in sys.path if 'sandbox' in p)\n"
        "open(path + '/serve.py', 'w').write('')\nprint('LEAK')",
        ("raised",),
    ),
    "write to the root": ("open('/planted', 'w').write('')\nprint('LEAK')", ("raised",)),
    "shared memory": (
        "from multiprocessing import shared_memory as s\n"
        "s.SharedMemory(create=True, size=10)\nprint('LEAK')",
        ("raised",),
    ),
    "mount": (
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n"
        "print('LEAK' if c.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0 else 1)",
        ("ok", "raised"),
    ),
    "new user namespace": (
        "import ctypes\nc = ctypes.CDLL(None)\nprint('LEAK' if c.unshare(0x10000000) == 0 else 1)",
        ("ok", "raised"),
    ),
    "trace another": (
        "import ctypes\nc = ctypes.CDLL(None)\nprint('LEAK' if c.ptrace(16, 1, 0, 0) == 0 else 1)",
        ("ok", "raised"),
    ),
    "chroot": ("import os\nos.chroot('/tmp')\nprint('LEAK')", ("raised",)),
    "become root": ("import os\nos.setuid(0)\nprint('LEAK')", ("raised",)),
    "exit": ("import os\nos._exit(0)", ("exit",)),
    "system exit": ("raise SystemExit(0)", ("raised",)),
    "segmentation fault": ("import ctypes\nctypes.string_at(0)", ("exit", "raised")),
    "abort": ("import os\nos.abort()", ("exit",)),
    "nested source": ("(" * 10_000 + ")" * 10_000, ("raised", "memory", "exit")),
    "recursion": ("def f(): f()\nf()", ("raised",)),
    "recursion without a limit": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        ("exit", "memory", "raised", "time"),
    ),
    "null characters": ("x = 1\0", ("raised",)),
    "lone surrogates": ("print('\\ud800')", ("ok", "raised")),
    "a forged reply": (
        "import os, sys\nos.write(sys.modules['__main__'].Files.replies, b'\\0\\0\\0\\2[]')\n",
        ("protocol",),
    ),
    "a reply that is nested": (
        "import os, sys\n"
        "text = b'[' * 100_000\n"
        "os.write(sys.modules['__main__'].Files.replies, len(text).to_bytes(4, 'big') + text)",
        ("protocol",),
    ),
    "a reply without end": (
        "import os, sys\nos.write(sys.modules['__main__'].Files.replies, b'\\xff' * 4)\n",
        ("protocol",),
    ),
    "all descriptors closed": ("import os\nos.closerange(0, 64)", ("exit",)),
    "descriptors of the server": (
        "import os\n"
        "files = __import__('sys').modules['__main__'].Files\n"
        "for fd in range(3, 256):\n"
        "    try: os.fstat(fd)\n"
        "    except OSError: continue\n"
        "    if fd not in (files.requests, files.replies): print('LEAK', fd)",
        ("ok",),
    ),
    "limits of the server": (
        "import os, resource as r\n"
        "r.prlimit(os.getppid() or 2, r.RLIMIT_CPU, (0, 0))\nprint('LEAK')",
        ("ok", "raised", "time"),
    ),
    "capabilities": (
        "import ctypes\nheader, data = (ctypes.c_uint32 * 2)(0x20080522, 0), "
        "(ctypes.c_uint32 * 6)()\n"
        "ctypes.CDLL(None).capget(header, data)\nprint('LEAK' if any(data) else 'none')",
        ("ok",),
    ),
    "standard output replaced": (
        "import sys\nclass Bad:\n    def flush(self): raise SystemExit\nsys.stdout = Bad()",
        ("ok",),
    ),
}

ADD = "def add(a, b): return a + b\n"

CHEATS: dict[str, str] = {
    "nothing": "",
    "wrong": "def add(a, b): return a - b",
    "equal to all": (
        "class All:\n    def __eq__(self, o): return True\n    def __bool__(self): return True\n"
        "def add(a, b): return All()"
    ),
    "an integer equal to all": (
        "class All(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\n"
        "def add(a, b): return All(0)"
    ),
    "a list equal to all": (
        "class All(list):\n    def __eq__(self, o): return True\ndef add(a, b): return All()"
    ),
    "exit": "import os\ndef add(a, b): os._exit(0)",
    "exit at once": "import os\nos._exit(0)",
    "system exit": "def add(a, b): raise SystemExit(0)",
    "builtins patched": (
        "import builtins\nbuiltins.AssertionError = ValueError\nbuiltins.abs = lambda x: 0\n"
        "builtins.isinstance = lambda *a: True\nbuiltins.all = lambda x: True\n"
        "def add(a, b): return None"
    ),
    "reading the frames": (
        "import sys, gc\ndef add(a, b):\n    f = sys._getframe()\n    while f:\n"
        "        for v in list(f.f_locals.values()):\n"
        "            if isinstance(v, str) and 'assert add' in v: return 5\n        f = f.f_back\n"
        "    texts = [o for o in gc.get_objects() if isinstance(o, str)]\n"
        "    return 5 if any('assert add' in o for o in texts) else 0"
    ),
    "reading the disk": (
        "import os\ndef add(a, b):\n    for d, _, files in os.walk('/'):\n        for f in files:\n"
        "            if f.endswith(('.json', '.txt', '.jsonl')) and 'assert add' in "
        "open(os.path.join(d, f), errors='replace').read(): return 5\n    return 0"
    ),
    "checker patched": (
        "import sys\nm = sys.modules['__main__']\n"
        "m.call = lambda *a: {'passed': [True] * 9, 'failures': []}\n"
        "m.write({'failures': []})\ndef add(a, b): return 0"
    ),
    "a forged verdict": (
        "import sys\nm = sys.modules['__main__']\n"
        "def add(a, b):\n    m.write({'failures': [], 'passed': [True]})\n    return 0"
    ),
    "a stale result file": (
        "for name in ('result.json', 'results.txt', 'verdict'): open(name, 'w').write('passed')\n"
        "def add(a, b): return 0"
    ),
    "printing what passes": "def add(a, b):\n    print('passed')\n    return 0",
    "a name of the tests": "def check(*a): return True\ndef add(a, b): return 0",
    "hanging": "def add(a, b):\n    while True: pass",
    "an endless value": "import itertools\ndef add(a, b): return itertools.count()",
    "a nested value": "def add(a, b):\n    x = 0\n    for _ in range(10**5): x = [x]\n    return x",
    "a value that holds itself": "def add(a, b):\n    x = []\n    x.append(x)\n    return x",
    "a huge value": "def add(a, b): return 'x' * 10**8",
}
"""Programs that should add two numbers, and would rather pass for it."""

PLANTS = """
import builtins, ctypes, os, random, sys, time
open('planted', 'w').write('x')
os.makedirs('deep/er')
os.chmod('deep', 0)
os.environ['PLANTED'] = 'x'
builtins.PLANTED = sys.modules['planted'] = 'x'
sys.path.insert(0, '/tmp')
os.umask(0o777)
os.nice(5)
print(ctypes.CDLL(None).msgget(4242, 0o1666))
"""
"""A program that leaves what it can for the next one."""

FINDS = """
import builtins, ctypes, os, sys
found = [
    os.listdir('/tmp'), 'PLANTED' in os.environ, hasattr(builtins, 'PLANTED'),
    'planted' in sys.modules, '/tmp' in sys.path, os.umask(0) == 0o777, os.nice(0),
    ctypes.CDLL(None).msgget(4242, 0) >= 0,
]
print(found)
"""
"""What the next one finds; nothing but False, 0 and an empty directory."""
