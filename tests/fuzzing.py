"""`assert_robust`: mutated files are read, or refused in one line that names them, and nothing else happens.

The mutations are seeded. A child process with limits on memory and CPU time reads many of them; if one kills
it, the next child continues with the one after.
"""

import os
import random
import resource
import signal
import sys
import tempfile
import warnings

from bondwise.runs import RunError, UsageError

SECONDS = 5  # CPU time for one file
MEMORY = 2 << 30
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pickle.find_class")
NUMBERS = (b"0", b"-1", b"2147483648", b"99999999999999999999", b"1e999", b"nan", b"1e-320", b"9" * 5000)


def mutate(content, others, rng):
    """One seeded mutation or a few of the bytes of a file; `others` are whole files to splice with."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not data:
            data = bytearray(rng.randbytes(8))
        start = rng.randrange(len(data))
        end = min(len(data), start + rng.choice((1, 2, 4, 16, 64, 256)))
        kind = rng.randrange(8)
        if kind == 0:
            data[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[start:end] = rng.choice((b"\x00", b"\xff", b"\x7f")) * (end - start)
        elif kind == 2:
            del data[start:]
        elif kind == 3:
            del data[start:end]
        elif kind == 4:
            data[start:start] = data[start:end] * rng.choice((1, 2, 300))
        elif kind == 5:
            other = rng.choice(others)
            cut = rng.randrange(len(other) + 1)
            data[start:] = other[cut:]
        elif kind == 6:
            digits = [place for place, byte in enumerate(data) if 48 <= byte < 58]
            if digits:
                place = rng.choice(digits)
                data[place : place + 1] = rng.choice(NUMBERS)
        else:
            words = data.split(b" ")
            one, two = rng.randrange(len(words)), rng.randrange(len(words))
            words[one], words[two] = words[two], words[one]
            data = bytearray(b" ".join(words))
    return bytes(data[: 1 << 20])


def assert_robust(read, samples, name, *, folder, count, seed=0, prepare=None, named=None):
    """Read mutated files, and fail with what went wrong on which of them.

    Args:
        read: Function that reads the file at a path.
        samples: Contents of valid files, which must be read without an error.
        name: Name of the file, which every message must contain.
        folder: Folder of the file, in which nothing else may appear.
        count: Number of mutations.
        seed: Random seed for the mutations.
        prepare: Function called with the path before each read, which writes the files that belong to it.
        named: Text that a message must contain instead of the name.
    """
    path, named = folder / name, named or name
    faults = []
    for sample in samples:
        path.write_bytes(sample)
        if prepare:
            prepare(path)
        read(path)
    at = 0
    while at < count:
        before = at
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as report:
            child = os.fork()
            if child == 0:
                _read_many(read, samples, path, range(at, count), seed, prepare, named, errors, report)
            _, status = os.waitpid(child, 0)
            report.seek(0)
            lines = report.read().decode(errors="replace").splitlines()
        at += len([line for line in lines if line == "next"])
        faults += [line for line in lines if line != "next"]
        if status:
            ended = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit code {status >> 8}"
            faults.append(f"mutation {at}: the process ended with {ended}")
            at += 1
        assert at > before
        assert len(faults) < 20, "\n".join(faults)
    assert not faults, "\n".join(faults)


def _read_many(read, samples, path, numbers, seed, prepare, named, errors, report):
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open("/proc/self/statm") as file:
            held = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
        sys.stdout.flush()
        for stream in (1, 2):
            os.dup2(errors.fileno(), stream)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        warnings.simplefilter("always")
        started = []
        sys.addaudithook(lambda event, _: started.append(event) if event.startswith(FORBIDDEN) else None)
        for number in numbers:
            used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
            resource.setrlimit(resource.RLIMIT_CPU, (int(used) + SECONDS, -1))
            rng = random.Random(f"{seed} {path.name} {number}")
            path.write_bytes(mutate(rng.choice(samples), samples, rng))
            if prepare:
                prepare(path)
            listed = sorted(path.parent.rglob("*"))
            fault = _fault(read, path, named)
            sys.stdout.flush()
            sys.stderr.flush()
            if os.fstat(errors.fileno()).st_size:
                os.lseek(errors.fileno(), 0, os.SEEK_SET)
                fault = f"printed {os.read(errors.fileno(), 500)!r}"
                os.ftruncate(errors.fileno(), 0)
                os.lseek(errors.fileno(), 0, os.SEEK_SET)
            if sorted(path.parent.rglob("*")) != listed:
                fault = "left files behind"
            if started:
                fault = f"started {started}"
                started.clear()
            os.write(report.fileno(), (f"mutation {number}: {fault}\n" if fault else "").encode() + b"next\n")
        code = 0
    finally:
        os._exit(code)


def _fault(read, path, named):
    try:
        read(path)
    except (UsageError, RunError) as error:
        text = str(error)
        if len(text.splitlines()) != 1 or not text.isprintable() or len(text) > 1000:
            return f"the message is no short printable line: {text[:300]!r}"
        return None if named in text else f"the message does not name the file: {text!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:300]!r}"
    return None
