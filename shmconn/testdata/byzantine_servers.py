"""Cases in which a server breaks the rules of the handshake."""

import os, socket, tempfile, time

from byzantine import *


def server(want, name):
    return case("server", want, name)


def for_greeting(name, data, then=gone):
    @server("refused", name)
    def _(path):
        sock = listen(path)
        sock.sendall(data)
        then(sock)


def hang_up(sock):
    sock.close()


for_greeting("speak another protocol", b"220 mail.example ESMTP\r\n")
for_greeting("greeting of version 0", frame(GREETING, version=0))
for_greeting("greeting with a reserved byte", frame(GREETING, zero=b"\0\0\0\0\1"))
for kind in 0, HELLO, OFFER, 255:
    for_greeting("kind %d for a greeting" % kind, frame(kind))
for n in 0, 1, 8, 31:
    for_greeting("silence after %d bytes of the greeting" % n, frame(GREETING)[:n])
    for_greeting("close after %d bytes of the greeting" % n, frame(GREETING)[:n], hang_up)


def trickle(sock, data):
    start = time.monotonic()
    try:
        for x in data:
            sock.sendall(bytes([x]))
            time.sleep(0.1)
    except (BrokenPipeError, ConnectionResetError):
        pass
    gone(sock)
    assert time.monotonic() - start < 3, "stretched"


@server("refused", "trickle the greeting")
def _(path):
    trickle(listen(path), frame(GREETING))


@server("refused", "trickle the offer")
def _(path):
    trickle(greet(path), frame(OFFER, 0, CAP, CAP))


@server("refused", "trickle the memory frame")
def _(path):
    sock = offer(path)
    socket.send_fds(sock, [frame(MEMORY)[:1]], Share().fds())
    trickle(sock, frame(MEMORY)[1:])


def for_offer(name, data):
    @server("refused", name)
    def _(path):
        sock = greet(path)
        sock.sendall(data)
        gone(sock)


for kind in 0, GREETING, HELLO, MEMORY, ACCEPT, 255:
    for_offer("kind %d for an offer" % kind, frame(kind, 0, CAP, CAP))
for status in 1, 2, 3, 4, 5, 6, 255:
    for_offer("offer of status %d" % status, frame(OFFER, status))
for_offer("offer of version 2", frame(OFFER, 0, CAP, CAP, version=2))
for_offer("offer with a reserved byte", frame(OFFER, 0, CAP, CAP, zero=b"\1\0\0\0\0"))
for_offer("half an offer", frame(OFFER)[:16])
for_offer("silence for an offer", b"")
for_offer("an offer without memory", frame(OFFER, 0, CAP, CAP))

for capacity in 0, 64, 5000, 1 << 31, 1 << 63, M64:
    for where in 1, 2:
        @server("refused", "capacity %d %s" % (capacity, ("to the client", "to the server")[where - 1]))
        def _(path, capacity=capacity, where=where):
            capacities = [CAP, CAP]
            capacities[where - 1] = capacity
            sock = greet(path)
            sock.sendall(frame(OFFER, 0, *capacities))
            socket.send_fds(sock, [frame(MEMORY)], Share().fds())
            gone(sock)


def memory_frame(name, data):
    @server("refused", name)
    def _(path):
        sock = offer(path)
        socket.send_fds(sock, [data], Share().fds())
        gone(sock)


for kind in 0, OFFER, ACCEPT, 255:
    memory_frame("kind %d for a memory frame" % kind, frame(kind))
memory_frame("memory frame of version 2", frame(MEMORY, version=2))
memory_frame("memory frame with a reserved byte", frame(MEMORY, zero=b"\0\1\0\0\0"))
memory_frame("half a memory frame", frame(MEMORY)[:16])

for count in 0, 1, 2, 3, 5, 6, 253:
    @server("refused", "%d descriptors" % count)
    def _(path, count=count):
        sock = offer(path)
        fds = Share().fds() + [os.dup(0) for _ in range(250)]
        socket.send_fds(sock, [frame(MEMORY)], fds[:count])
        gone(sock)


@server("refused", "descriptors with another byte")
def _(path):
    sock = offer(path)
    sock.sendall(frame(MEMORY)[:1])
    socket.send_fds(sock, [frame(MEMORY)[1:]], Share().fds())
    gone(sock)


@server("refused", "descriptors in two parts")
def _(path):
    sock = offer(path)
    fds = Share().fds()
    socket.send_fds(sock, [frame(MEMORY)[:1]], fds[:2])
    socket.send_fds(sock, [frame(MEMORY)[1:]], fds[2:])
    gone(sock)


@server("refused", "descriptors twice")
def _(path):
    sock = offer(path)
    fds = Share().fds()
    socket.send_fds(sock, [frame(MEMORY)[:1]], fds)
    socket.send_fds(sock, [frame(MEMORY)[1:]], fds)
    gone(sock)


@server("refused", "descriptors with the greeting")
def _(path):
    sock = listen(path)
    socket.send_fds(sock, [frame(GREETING)], Share().fds())
    gone(sock)


@server("refused", "descriptors with the offer, but not with the memory")
def _(path):
    sock = listen(path)
    sock.sendall(frame(GREETING))
    expect(sock, HELLO)
    socket.send_fds(sock, [frame(OFFER, 0, CAP, CAP) + frame(MEMORY)], Share().fds())
    gone(sock)


@server("eof|reset", "a descriptor that lingers after the memory frame")
def _(path):
    s = Share()
    sock = offer(path)
    linger = lingering()
    socket.send_fds(sock, [frame(MEMORY)], s.fds())
    attach(sock, b"x", [linger])
    assert expect(sock, ACCEPT)[0] == 0


def fake(want, name):
    """Adds a case with a share that the decorated function has spoilt."""
    def add(f):
        @server(want, name)
        def _(path):
            s = Share()
            f(s)
            share(path, s)
    return add


def sealed(size=SIZE, seals=WRITER_SEALED, flags=0):
    return memfd(size, seals, flags)


KEPT = []


def keep(f):
    """Keeps f from being closed before it is sent."""
    KEPT.append(f)
    return f


def others():
    """Descriptors that are no memory files, by their names."""
    yield "a pipe to read", lambda: os.pipe()[0]
    yield "a pipe to write", lambda: os.pipe()[1]
    yield "a socket", lambda: socket.socketpair()[0].detach()
    yield "a listening socket", lambda: socket.create_server(("127.0.0.1", 0)).detach()
    yield "an epoll instance", lambda: keep(select.epoll()).fileno()
    yield "a directory", lambda: os.open("/", os.O_RDONLY)
    yield "a path", lambda: os.open("/etc/passwd", os.O_PATH)
    yield "a regular file", lambda: keep(tempfile.TemporaryFile()).fileno()
    yield "a file of tmpfs", lambda: os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR)
    yield "the null device", lambda: os.open("/dev/null", os.O_RDWR)
    yield "the zero device", lambda: os.open("/dev/zero", os.O_RDWR)
    yield "a process", lambda: os.pidfd_open(os.getpid())
    yield "a timer", lambda: checked(libc.timerfd_create(1, 0))
    yield "an inotify instance", lambda: checked(libc.inotify_init1(0))
    yield "a signal descriptor", lambda: checked(libc.signalfd(-1, ctypes.byref(ctypes.create_string_buffer(128)), 0))
    yield "secret memory", lambda: checked(libc.syscall(447, 0))


def checked(fd):
    if fd < 0:
        raise Skip(os.strerror(ctypes.get_errno()))
    return fd


def spoil(field, name, make, want="refused"):
    @fake(want, "%s: %s" % (field.replace("_", " "), name))
    def _(s):
        try:
            fd = make()
        except OSError as e:
            raise Skip(e)
        setattr(s, field, fd)


for memory in "server_memory", "client_memory":
    right = WRITER_SEALED if memory == "server_memory" else SIZE_SEALED
    spoil(memory, "a byte too short", lambda right=right: sealed(SIZE - 1, right))
    spoil(memory, "half a page", lambda right=right: sealed(2048, right))
    spoil(memory, "empty", lambda right=right: sealed(0, right))
    spoil(memory, "a page too long", lambda right=right: sealed(SIZE + 4096, right))
    spoil(memory, "no seals", lambda: sealed(seals=0))
    for wrong in SHRINK, GROW, SIZE_SEALED, SIZE_SEALED | SEAL, SIZE_SEALED | FUTURE_WRITE, SIZE_SEALED | WRITE | SEAL, \
            GROW | FUTURE_WRITE | SEAL, SHRINK | FUTURE_WRITE | SEAL, WRITER_SEALED, WRITER_SEALED | WRITE:
        if wrong != right:
            spoil(memory, "seals %#x" % wrong, lambda wrong=wrong: sealed(seals=wrong))
    spoil(memory, "huge pages", lambda right=right: sealed(2 << 20, right, 4))
    spoil(memory, "opened for reading",
          lambda right=right: os.open("/proc/self/fd/%d" % sealed(seals=right), os.O_RDONLY))
    spoil(memory, "an eventfd", eventfd)
    for name, make in others():
        spoil(memory, name, make)

for bell in "server_bell", "client_bell":
    spoil(bell, "a memory file", memfd)
    for name, make in others():
        spoil(bell, name, make)


def odd(want, name):
    """Adds a case with a share that cannot be told from a correct one."""
    def add(f):
        @server(want, name)
        def _(path):
            s = Share()
            f(s)
            peer = accept(path, s)
            peer.send(b"ping")
            peer.gone()
    return add


@odd("timeout", "one doorbell for both")
def _(s):
    s.server_bell = s.client_bell


@odd("timeout", "doorbells that block")
def _(s):
    s.server_bell, s.client_bell = eventfd(1, 0), eventfd(1, 0)


@odd("timeout", "doorbells without a count")
def _(s):
    s.server_bell, s.client_bell = eventfd(0), eventfd(0)


@odd("timeout", "doorbells that are semaphores")
def _(s):
    s.server_bell, s.client_bell = (eventfd(5, os.EFD_SEMAPHORE) for _ in range(2))


@server("timeout|eof|reset|corrupt", "one memory for both")
def _(path):
    s = Share()
    s.server_memory = s.client_memory = memfd()
    sock = offer(path)
    socket.send_fds(sock, [frame(MEMORY)], s.fds())
    gone(sock)


@fake("refused", "memories in the wrong order")
def _(s):
    s.server_memory, s.client_memory = s.client_memory, s.server_memory


@fake("refused", "memories for doorbells")
def _(s):
    s.server_memory, s.server_bell = s.server_bell, s.server_memory
