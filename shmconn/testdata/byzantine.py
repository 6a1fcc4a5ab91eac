#!/usr/bin/env python3
"""A peer that keeps to no rules, written from docs/PROTOCOL.md alone.

It needs Python 3.10 and its standard library, and has one case for each attack.

    byzantine.py list       one line for each case: role, outcome, name, separated by tabs
    byzantine.py serve      runs the cases named on standard input: role, path, name, by tabs

The role is that of this program. Each case runs in a process of its own. As "client" it connects
to the victim at path; the line "pid N" tells its number, with which its sockets' marks begin, as
eight hexadecimal digits. As "server" it listens at path, says "listening" and waits for the victim.
The line "exit N" follows at the end: 0 if the case was carried out and the victim has let go of its
socket in time, 77 if this system cannot carry it out.

The outcome is what the victim must report, given that it sends back all it receives and gives each
read and write a fifth of a second: words of refused, eof, reset, pipe, corrupt, timeout, joined by "|".
"""

import array, ctypes, errno, fcntl, mmap, os, random, secrets, select, signal, socket, struct, sys, tempfile, threading, time, traceback

# Section 4: frames.
MAGIC = b"\xf5shmconn"
GREETING, HELLO, OFFER, MEMORY, ACCEPT = 1, 2, 3, 4, 5
M64 = (1 << 64) - 1


def frame(kind, status=0, to_client=0, to_server=0, version=1, zero=bytes(5)):
    return MAGIC + bytes([version, kind, status]) + zero + struct.pack("<QQ", to_client, to_server)


# Section 6: memory files.
F_ADD_SEALS, F_GET_SEALS = 1033, 1034
SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE = 1, 2, 4, 8, 0x10
SIZE_SEALED, WRITER_SEALED = SHRINK | GROW, SHRINK | GROW | FUTURE_WRITE | SEAL
CAP = 4096  # the capacity of both directions
SIZE = 4096 + CAP

# Section 8: the words, as indices of an array of 64-bit numbers.
TAIL, ORIGIN, HEAD, DATA_EVENT, SPACE_EVENT, SEND_CLOSED, RECV_CLOSED = (
    x // 8 for x in (0, 0x8, 0x80, 0x100, 0x108, 0x110, 0x118))
WORDS = [TAIL, ORIGIN, HEAD, DATA_EVENT, SPACE_EVENT, SEND_CLOSED, RECV_CLOSED]

libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """This system cannot carry out the case."""


def memfd(size=SIZE, seals=SIZE_SEALED, flags=0):
    fd = libc.memfd_create(b"shmconn-byzantine", 1 | 2 | flags)
    if fd < 0:
        raise Skip("memfd_create: " + os.strerror(ctypes.get_errno()))
    try:
        os.ftruncate(fd, size)
        if seals:
            fcntl.fcntl(fd, F_ADD_SEALS, seals)
    except OSError as e:
        raise Skip(e)
    return fd


def eventfd(count=1, flags=os.EFD_NONBLOCK):
    return os.eventfd(count, flags | os.EFD_CLOEXEC)


def read_exactly(sock, n):
    b = b""
    while len(b) < n:
        x = sock.recv(n - len(b))
        assert x, "end of file after %r" % b
        b += x
    return b


def expect(sock, kind):
    b = read_exactly(sock, 32)
    assert b[:8] == MAGIC and b[9] == kind and b[11] <= (kind in (MEMORY, ACCEPT)) and b[12:16] == bytes(4), b
    return b[10], *struct.unpack_from("<QQ", b, 16)


def gone(sock, within=8):
    """Waits until the victim has closed its end, and fails if that takes long."""
    sock.settimeout(within)
    try:
        while sock.recv(4096):
            pass
    except ConnectionResetError:
        pass
    sock.close()


LOCK = threading.Lock()


def fence():
    """Has the stores before it seen before the loads after it are made, as section 10 asks for: what
    takes a lock is a full barrier on x86, while Python's own steps may take less time than a store."""
    with LOCK:
        pass


class Peer:
    """An established connection, seen from the end that breaks the rules."""

    def __init__(self, sock, mine, theirs, bell, victims_bell):
        self.sock, self.bell, self.victims_bell = sock, bell, victims_bell
        self.mine, self.theirs = mine, theirs
        self.my = memoryview(mine)[:4096].cast("Q")
        self.their = memoryview(theirs)[:4096].cast("Q")
        self.my[DATA_EVENT] = self.my[SPACE_EVENT] = M64
        self.tail = self.head = 0
        self.epoll = select.epoll()
        self.epoll.register(bell, select.EPOLLIN | select.EPOLLET)

    def ring(self):
        os.write(self.victims_bell, bytes(8))

    def put(self, data):
        """Copies data to where it belongs and publishes nothing."""
        for i, x in enumerate(data):
            self.mine[4096 + (self.tail + i) % CAP] = x

    def publish(self, n, ring=True):
        old, self.tail = self.tail, (self.tail + n) & M64
        self.my[TAIL] = self.tail
        fence()
        if ring and (self.tail - self.their[DATA_EVENT] - 1) & M64 < n:
            self.ring()

    def send(self, data):
        self.put(data)
        self.publish(len(data))

    def receive(self, n, within=5):
        """Takes n bytes, or fewer at the end of the stream."""
        got, end = b"", time.monotonic() + within
        while len(got) < n:
            self.my[DATA_EVENT] = self.head
            fence()
            closed = self.their[SEND_CLOSED]
            k = min((self.their[TAIL] - self.head) & M64, n - len(got))
            if k == 0:
                if closed:
                    break
                assert self.epoll.poll(max(0, end - time.monotonic())), "no wake-up"
                continue
            got += bytes(self.theirs[4096 + (self.head + i - self.their[ORIGIN]) % CAP] for i in range(k))
            old, self.head = self.head, self.head + k
            self.my[HEAD] = self.head
            fence()
            if (self.head - self.their[SPACE_EVENT] - 1) & M64 < k:
                self.ring()
        return got

    def gone(self):
        gone(self.sock)


def take_memory(sock):
    """Section 5, C4."""
    b, control, flags, _ = sock.recvmsg(1, socket.CMSG_SPACE(4 * 5), socket.MSG_CMSG_CLOEXEC)
    assert not flags & socket.MSG_CTRUNC and len(control) == 1
    fds = array.array("i")
    fds.frombytes(control[0][2])
    assert len(fds) == 4
    b += read_exactly(sock, 31)
    assert b[9] == MEMORY
    return list(fds)


def dial(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(b"\0shmconn/1/" + b"%08x" % os.getpid() + secrets.token_hex(9).encode())
    sock.connect(path)
    sock.settimeout(5)
    return sock


def greeted(path):
    sock = dial(path)
    expect(sock, GREETING)
    return sock


def offered(path):
    sock = greeted(path)
    sock.sendall(frame(HELLO, 0, CAP, CAP))
    status, to_client, to_server = expect(sock, OFFER)
    assert (status, to_client, to_server) == (0, CAP, CAP)
    return sock, take_memory(sock)


def connect(path):
    """The client's part, as it should be."""
    sock, (server_memory, client_memory, server_bell, client_bell) = offered(path)
    mine = mmap.mmap(client_memory, SIZE)
    fcntl.fcntl(client_memory, F_ADD_SEALS, WRITER_SEALED)
    theirs = mmap.mmap(server_memory, SIZE, prot=mmap.PROT_READ)
    peer = Peer(sock, mine, theirs, client_bell, server_bell)
    peer.files = server_memory, client_memory
    sock.sendall(frame(ACCEPT))
    return peer


def listen(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(8)
    print("listening", flush=True)
    s.settimeout(5)
    sock, _ = s.accept()
    sock.settimeout(5)
    return sock


class Share:
    """What a server offers. Its attributes may be replaced before it is sent."""

    def __init__(self):
        self.server_memory = memfd()
        self.mine = mmap.mmap(self.server_memory, SIZE)
        fcntl.fcntl(self.server_memory, F_ADD_SEALS, WRITER_SEALED)
        self.client_memory = memfd()
        self.server_bell, self.client_bell = eventfd(), eventfd()

    def fds(self):
        return [self.server_memory, self.client_memory, self.server_bell, self.client_bell]


def greet(path):
    sock = listen(path)
    sock.sendall(frame(GREETING))
    expect(sock, HELLO)
    return sock


def offer(path):
    sock = greet(path)
    sock.sendall(frame(OFFER, 0, CAP, CAP))
    return sock


def share(path, s):
    """Offers s, and waits until the victim has declined it by closing."""
    sock = offer(path)
    socket.send_fds(sock, [frame(MEMORY)], s.fds())
    gone(sock)


def accept(path, s=None):
    """The server's part, as it should be."""
    s = s or Share()
    sock = offer(path)
    socket.send_fds(sock, [frame(MEMORY)], s.fds())
    status, _, _ = expect(sock, ACCEPT)
    assert status == 0, status
    assert fcntl.fcntl(s.client_memory, F_GET_SEALS) & ~0x20 == WRITER_SEALED
    theirs = mmap.mmap(s.client_memory, SIZE, prot=mmap.PROT_READ)
    peer = Peer(sock, s.mine, theirs, s.server_bell, s.client_bell)
    peer.files = s.server_memory, s.client_memory
    return peer


CASES = {}


def case(role, want, name):
    def add(f):
        assert (role, name) not in CASES, name
        CASES[role, name] = want, f
        return f
    return add


def established(want, name):
    """A case of both roles, which begins with a connection."""
    def add(f):
        case("client", want, name)(lambda path: f(connect(path)))
        case("server", want, name)(lambda path: f(accept(path)))
        return f
    return add


def busy(seconds=0.3):
    """Yields for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def lingering():
    """A descriptor whose last close blocks for an hour."""
    l = socket.create_server(("127.0.0.1", 0))
    s = socket.create_connection(l.getsockname())
    far, _ = l.accept()
    s.setblocking(False)
    try:
        while True:
            s.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    lingering.far = far  # alive, and never read
    return s.detach()


def attach(sock, data, fds):
    """Sends descriptors that nobody has asked for; the kernel may be told not to take them."""
    try:
        socket.send_fds(sock, [data], fds)
        for fd in fds:
            os.close(fd)
    except PermissionError:
        sock.sendall(data)


def main():
    if sys.argv[1:] == ["list"]:
        for (role, name), (want, _) in CASES.items():
            print(role, want, name, sep="\t")
        return
    assert sys.argv[1:] == ["serve"], __doc__
    for line in sys.stdin:
        role, path, name = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                random.seed(name)
                signal.alarm(20)
                CASES[role, name][1](path)
                code = 0
            except Skip as e:
                print(e, file=sys.stderr)
                code = 77
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(code)
        if role == "client":
            print("pid", pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print("exit", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    sys.modules["byzantine"] = sys.modules["__main__"]
    import byzantine_clients, byzantine_established, byzantine_servers
    main()
