"""Cases in which a peer of either role breaks the rules once the connection stands."""

import fcntl, os, random, signal, socket, struct, threading, time

from byzantine import *


@established("eof", "honest")
def _(peer):
    for n in 1, 10, 1000, 3000, CAP, 7:
        data = random.randbytes(n)
        peer.send(data)
        assert peer.receive(n) == data
    peer.my[SEND_CLOSED] = 1
    peer.ring()
    assert peer.receive(1) == b""
    peer.gone()


@established("eof", "signals by the shared descriptions")
def _(peer):
    victim, _, _ = struct.unpack("iii", peer.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    for fd in peer.bell, peer.victims_bell, *peer.files:
        fcntl.fcntl(fd, fcntl.F_SETOWN, victim)
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | fcntl.FASYNC)
    for n in 1, 1000:
        peer.send(b"x" * n)
        assert len(peer.receive(n)) == n
    peer.my[SEND_CLOSED] = 1
    peer.ring()
    assert peer.receive(1) == b""
    peer.gone()


def scribble(want, name):
    """Adds a strategy, which stores something in every round."""
    def add(f):
        @established(want, "scribble: " + name)
        def _(peer):
            for _ in busy():
                if peer.their[SEND_CLOSED]:
                    break  # the victim has had enough
                f(peer)
                peer.ring()
                peer.head = peer.their[TAIL]
    return add


# What a victim meets that is reading, or writing, when the peer ends.
ENDED = "eof|reset|pipe"
ANY = ENDED + "|corrupt|timeout"


@scribble(ANY, "any word, any value")
def _(peer):
    peer.my[random.choice(WORDS)] = random.getrandbits(64)


@scribble(ANY, "any word, close to a limit")
def _(peer):
    limit = random.choice((0, CAP, 1 << 31, 1 << 32, 1 << 63, M64 + 1, peer.their[TAIL], peer.their[HEAD]))
    peer.my[random.choice(WORDS)] = (limit + random.randint(-2, 2)) & M64


@scribble("corrupt", "tail back and forth")
def _(peer):
    peer.my[TAIL] = random.getrandbits(1)


@scribble("corrupt", "tail goes back")
def _(peer):
    peer.send(b"x" * 100)
    peer.receive(100)
    peer.my[TAIL] = peer.tail - 100


@scribble("corrupt", "more than fits")
def _(peer):
    peer.my[TAIL] = peer.their[HEAD] + CAP + 1


@scribble("corrupt", "head ahead of what was sent")
def _(peer):
    peer.put(b"x" * CAP)
    peer.my[HEAD] = CAP + 1
    peer.publish(CAP)


@scribble(ANY, "a page of noise")
def _(peer):
    peer.mine[0:4096] = random.randbytes(4096)


@scribble(ENDED + "|timeout", "origin anywhere")
def _(peer):
    peer.my[ORIGIN] = random.getrandbits(64)
    peer.my[HEAD] = peer.their[TAIL]
    if (peer.tail - peer.their[HEAD]) & M64 < CAP:
        peer.publish(1)


@established(ENDED + "|timeout", "payload changes under the reader")
def _(peer):
    stop = False
    noise = [random.randbytes(CAP) for _ in range(8)]

    def change():
        while not stop:
            for n in noise:
                peer.mine[4096:SIZE] = n
    t = threading.Thread(target=change)
    t.start()
    try:
        for _ in busy():
            peer.publish((CAP - (peer.tail - peer.their[HEAD])) & M64)
            peer.my[HEAD] = peer.their[TAIL]
            peer.ring()
    finally:
        stop = True
        t.join()


@established(ENDED + "|timeout", "closed words toggle")
def _(peer):
    for i in busy():
        peer.my[SEND_CLOSED] ^= random.getrandbits(64)
        peer.my[RECV_CLOSED] ^= random.getrandbits(1)
        peer.ring()


@established("eof", "the end is taken back")
def _(peer):
    peer.my[SEND_CLOSED] = 1
    peer.ring()
    time.sleep(0.05)
    peer.my[SEND_CLOSED] = 0
    peer.send(b"more")
    peer.gone()


@established(ENDED + "|timeout", "events toggle")
def _(peer):
    for _ in busy():
        peer.my[DATA_EVENT] = peer.their[TAIL] - random.getrandbits(1) & M64
        peer.my[SPACE_EVENT] = peer.their[HEAD] - random.getrandbits(1) & M64
        if (peer.tail - peer.their[HEAD]) & M64 < CAP // 2:
            peer.send(b"0123456789")
        peer.my[HEAD] = peer.their[TAIL]


@established(ENDED + "|timeout", "one byte at a time")
def _(peer):
    for _ in busy():
        peer.send(b"x")
        assert peer.receive(1) == b"x"


@established("timeout", "never consume")
def _(peer):
    for _ in range(2):
        peer.send(bytes(CAP))
        while peer.their[HEAD] != peer.tail:
            if peer.their[TAIL] == CAP:
                break
            time.sleep(0.001)
    peer.gone()


@established("timeout", "take a byte at a time of a full ring")
def _(peer):
    peer.send(bytes(CAP))
    while peer.their[HEAD] != peer.tail:
        time.sleep(0.001)
    peer.send(bytes(CAP))
    for i in busy(1):
        if peer.my[HEAD] < peer.their[TAIL] and peer.my[HEAD] < 1000:
            peer.my[HEAD] += 1
            peer.ring()
    peer.gone()


@established("timeout", "never publish")
def _(peer):
    peer.gone()


@established("timeout", "publish without ringing")
def _(peer):
    while peer.their[DATA_EVENT] != 0:  # until the victim is about to sleep
        time.sleep(0.001)
    time.sleep(0.1)
    peer.put(b"unheard")
    peer.publish(7, ring=False)
    peer.gone()


@established("timeout", "ring without a reason")
def _(peer):
    try:
        for _ in busy(2):
            peer.ring()
            if select.select([peer.sock], [], [], 0)[0]:
                break
    finally:
        peer.gone()


@established("timeout", "drain the doorbells")
def _(peer):
    for _ in busy():
        for bell in peer.bell, peer.victims_bell:
            try:
                os.read(bell, 8)
            except BlockingIOError:
                pass
    peer.gone()


def fill(fd):
    """As far as write(2) goes: 2^64-2."""
    try:
        os.read(fd, 8)
    except BlockingIOError:
        pass
    os.write(fd, struct.pack("=Q", M64 - 1))


def blocking(fd):
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)


SYSCALLS = {"x86_64": (206, 209), "aarch64": (0, 2)}  # io_setup, io_submit


class Overflow:
    """Adds 1 to an eventfd by asynchronous I/O, which goes where write(2) does not: to 2^64-1."""

    def __init__(self, fd):
        numbers = SYSCALLS.get(os.uname().machine)
        if not numbers:
            raise Skip("asynchronous I/O of " + os.uname().machine)
        setup, self.submit = numbers
        self.context = ctypes.c_ulong()
        if libc.syscall(setup, 64, ctypes.byref(self.context)) < 0:
            raise Skip("io_setup: " + os.strerror(ctypes.get_errno()))
        self.file = os.open("/etc/passwd", os.O_RDONLY)
        self.buffer = ctypes.create_string_buffer(16)
        IOCB_CMD_PREAD, IOCB_FLAG_RESFD = 0, 1
        # struct iocb of include/uapi/linux/aio_abi.h
        self.iocb = ctypes.create_string_buffer(struct.pack(
            "=QIIHhIQQqQII", 0, 0, 0, IOCB_CMD_PREAD, 0, self.file, ctypes.addressof(self.buffer), 1, 0, 0,
            IOCB_FLAG_RESFD, fd))

    def add(self):
        p = ctypes.c_void_p(ctypes.addressof(self.iocb))
        if libc.syscall(self.submit, self.context, ctypes.c_long(1), ctypes.byref(p)) != 1:
            raise Skip("io_submit: " + os.strerror(ctypes.get_errno()))


def listen_and_send(peer, data=b"ping"):
    """Makes the victim, which answers, ring our doorbell."""
    peer.my[DATA_EVENT] = peer.their[TAIL]
    peer.send(data)


@established("timeout", "doorbells full")
def _(peer):
    fill(peer.bell)
    fill(peer.victims_bell)
    listen_and_send(peer)
    peer.gone()


@established("timeout", "doorbells full by write, and blocking")
def _(peer):
    blocking(peer.bell)
    fill(peer.bell)
    listen_and_send(peer)
    peer.gone()


@established("corrupt", "doorbell full by AIO, and blocking")
def _(peer):
    overflow = Overflow(peer.bell)
    blocking(peer.bell)
    fill(peer.bell)
    overflow.add()
    listen_and_send(peer)
    peer.gone()


@established("corrupt|timeout", "doorbell filled again and again")
def _(peer):
    overflow = Overflow(peer.bell)
    stop = False

    def refill():
        while not stop:
            os.write(peer.bell, struct.pack("=Q", M64 - 1))  # blocks until there is room

    blocking(peer.bell)
    os.read(peer.bell, 8)
    t = threading.Thread(target=refill, daemon=True)
    t.start()
    time.sleep(0.01)
    overflow.add()
    listen_and_send(peer)
    try:
        for _ in busy(1):
            overflow.add()
    except Skip:
        pass  # the queue of completions is full
    stop = True
    peer.gone()


@established("timeout", "the victim's doorbell full by AIO, and blocking")
def _(peer):
    overflow = Overflow(peer.victims_bell)
    blocking(peer.victims_bell)
    fill(peer.victims_bell)
    overflow.add()
    peer.gone()


@established("reset", "shut the socket down")
def _(peer):
    peer.sock.shutdown(socket.SHUT_WR)
    peer.gone()


@established("timeout|reset", "talk on the socket")
def _(peer):
    peer.sock.setblocking(False)
    try:
        while True:
            peer.sock.send(b"x")
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        pass
    try:
        peer.sock.send(b"x", socket.MSG_OOB)
    except OSError:
        pass
    peer.gone()


@established("timeout|reset", "descriptors on the established socket")
def _(peer):
    for _ in range(20):
        attach(peer.sock, b"x", [os.dup(0) for _ in range(253)])
    attach(peer.sock, b"x", [lingering()])
    peer.gone()


@established("reset|pipe", "kill -9 in the middle of a write")
def _(peer):
    peer.send(b"p" * 1000)
    assert len(peer.receive(1000)) == 1000
    peer.send(b"published")
    peer.put(b"not published")
    os.kill(os.getpid(), signal.SIGKILL)


@established("timeout", "a child keeps the socket of a dead peer")
def _(peer):
    if os.fork() == 0:
        peer.gone()
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


@established("timeout", "stopped")
def _(peer):
    child = os.fork()
    if child == 0:
        time.sleep(1)
        os.kill(os.getppid(), signal.SIGCONT)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGSTOP)
    os.waitpid(child, 0)
    peer.gone()
