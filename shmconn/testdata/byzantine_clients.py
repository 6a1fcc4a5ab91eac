"""Cases in which a client breaks the rules of the handshake."""

import fcntl, mmap, os, socket, time

from byzantine import *


def client(want, name):
    return case("client", want, name)


def after_greeting(name, data, answered=False):
    """Sends data instead of a hello, and then nothing."""
    @client("refused", name)
    def _(path):
        sock = greeted(path)
        sock.sendall(data)
        if answered:
            status, _, _ = expect(sock, OFFER)
            assert status in (3, 4), status
        gone(sock)


after_greeting("speak another protocol", b"GET / HTTP/1.1\r\n\r\n")
after_greeting("a magic that is wrong in its last byte", MAGIC[:7] + b"m" + frame(HELLO)[8:])
for kind in 0, GREETING, OFFER, MEMORY, ACCEPT, 255:
    after_greeting("kind %d for a hello" % kind, frame(kind), True)
for version in 0, 2, 255:
    after_greeting("version %d" % version, frame(HELLO, version=version), True)
for i in range(5):
    zero = bytearray(5)
    zero[i] = 1
    after_greeting("reserved byte %d" % (11 + i), frame(HELLO, zero=bytes(zero)), True)
for wish in 1, 64, 4095, 4097, 5000, 1 << 31, 1 << 32, 1 << 63, M64:
    after_greeting("ask for %d bytes from the server" % wish, frame(HELLO, 0, wish, CAP), True)
    after_greeting("ask for %d bytes to the server" % wish, frame(HELLO, 0, CAP, wish), True)
for n in 0, 1, 8, 31:
    after_greeting("stop after %d bytes of the hello" % n, frame(HELLO)[:n])


@client("refused", "close at once")
def _(path):
    dial(path).close()


for n in 1, 8, 31:
    @client("refused", "close after %d bytes of the hello" % n)
    def _(path, n=n):
        sock = greeted(path)
        sock.sendall(frame(HELLO)[:n])
        sock.close()


def trickle(sock, data):
    """Sends a byte now and then, to stretch the victim's time limit."""
    start = time.monotonic()
    try:
        for x in data:
            sock.sendall(bytes([x]))
            time.sleep(0.1)
    except (BrokenPipeError, ConnectionResetError):
        pass
    gone(sock)
    assert time.monotonic() - start < 3, "stretched"


@client("refused", "trickle the hello")
def _(path):
    trickle(greeted(path), frame(HELLO))


@client("refused", "trickle the accept")
def _(path):
    trickle(offered(path)[0], frame(ACCEPT))


@client("refused", "never take the offer")
def _(path):
    sock = greeted(path)
    sock.sendall(frame(HELLO))
    time.sleep(0.1)
    gone(sock)


def after_offer(name, data):
    @client("refused", name)
    def _(path):
        sock, fds = offered(path)
        sock.sendall(data)
        gone(sock)


for kind in 0, GREETING, HELLO, OFFER, MEMORY, 255:
    after_offer("kind %d for an accept" % kind, frame(kind))
for status in 1, 2, 5, 255:
    after_offer("accept with status %d" % status, frame(ACCEPT, status))
after_offer("accept of version 2", frame(ACCEPT, version=2))
after_offer("accept with an unknown flag", frame(ACCEPT, zero=b"\2\0\0\0\0"))
after_offer("accept with a reserved byte", frame(ACCEPT, zero=b"\0\0\1\0\0"))
after_offer("half an accept", frame(ACCEPT)[:16])
after_offer("silence after the offer", b"")


def seals(name, *steps):
    """Accepts with the client's memory sealed otherwise than agreed."""
    @client("refused", name)
    def _(path):
        sock, fds = offered(path)
        for s in steps:
            fcntl.fcntl(fds[1], F_ADD_SEALS, s)
        sock.sendall(frame(ACCEPT))
        gone(sock)


seals("leave the memory unsealed")
seals("no FUTURE_WRITE", SEAL)
seals("no SEAL", FUTURE_WRITE)
seals("WRITE for FUTURE_WRITE", WRITE, SEAL)
seals("WRITE as well", FUTURE_WRITE, WRITE, SEAL)


@client("eof|reset", "try to write to the server's memory")
def _(path):
    peer = connect(path)
    libc.mmap.restype = ctypes.c_void_p
    for fd in peer.files:
        for what in (lambda: mmap.mmap(fd, SIZE), lambda: os.ftruncate(fd, 0), lambda: os.ftruncate(fd, 1 << 20),
                     lambda: os.pwrite(fd, b"x", 0), lambda: fcntl.fcntl(fd, F_ADD_SEALS, WRITE)):
            try:
                what()
            except PermissionError:
                continue
            raise Exception("allowed")
        assert libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(4096)) == -1, "punched a hole"
        assert ctypes.get_errno() == errno.EPERM
    address = libc.mmap(None, ctypes.c_size_t(SIZE), mmap.PROT_READ, mmap.MAP_SHARED, peer.files[0], ctypes.c_long(0))
    MADV_REMOVE = 9
    assert libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(SIZE), 3) == -1, "made writable"
    assert libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(SIZE), MADV_REMOVE) == -1, "removed"


@client("refused", "descriptors with the hello")
def _(path):
    sock = greeted(path)
    attach(sock, frame(HELLO), [os.dup(0) for _ in range(253)])
    gone(sock)


@client("refused", "descriptors before the greeting")
def _(path):
    sock = dial(path)
    attach(sock, frame(HELLO)[:9], [os.dup(0) for _ in range(253)])
    gone(sock)


@client("refused", "a descriptor that lingers before the greeting")
def _(path):
    sock = dial(path)
    attach(sock, frame(HELLO)[:9], [lingering()])
    gone(sock)


@client("refused", "a descriptor that lingers with the accept")
def _(path):
    sock, fds = offered(path)
    attach(sock, frame(ACCEPT, 2), [lingering()])
    gone(sock)


@client("refused", "200 clients that close at once")
def _(path):
    for _ in range(200):
        dial(path).close()


@client("refused", "200 silent clients")
def _(path):
    socks = []
    for _ in range(200):
        try:
            socks.append(dial(path))
        except BlockingIOError:
            time.sleep(0.001)
    for sock in socks:
        gone(sock)
