// Blob hands a large content from one process to another twice: as bytes over a
// connection, by io.Copy, and as a memory file, which the other process maps.
//
//	go run ./examples/blob                  # 256 MiB of random bytes
//	go run ./examples/blob -file video.mp4
//
// The program starts itself a second time as the receiver, which asks for the
// content, says how long it took to have all of it, and checks its SHA-256. The
// memory file is written and sealed once; any number of processes can receive
// it, and none of them, nor the sender, can change it any more.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/shmconn"
)

func main() {
	size := flag.Int64("size", 256<<20, "bytes of random content")
	file := flag.String("file", "", "send the content of this `file` instead")
	from := flag.String("receive-from", "", "be the receiver, of the server at this `socket` (internal)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *from != "" {
		err = receive(ctx, *from, os.Stdout)
	} else {
		err = send(ctx, *size, *file, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "blob:", err)
		os.Exit(1)
	}
}

// A header tells the receiver what to expect.
type header struct {
	Size int64
	Sum  [sha256.Size]byte
}

// What the receiver asks for.
const (
	asBytes = 'b'
	asFile  = 'f'
)

// send serves the content to a receiver that it starts.
func send(ctx context.Context, size int64, path string, out io.Writer) error {
	start := time.Now()
	file, err := fill(size, path)
	if err != nil {
		return err
	}
	defer file.Close()
	content, err := memfd.ReadOnly(file)
	if err != nil {
		return err
	}
	defer content.Close()
	fmt.Fprintf(out, "sender:   %d bytes written and sealed, once, in %v\n", content.Size(), round(time.Since(start)))

	dir, err := os.MkdirTemp("", "blob")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := shmconn.Listen("shm", filepath.Join(dir, "socket"))
	if err != nil {
		return err
	}
	defer l.Close()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "-receive-from", l.Addr().String())
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		l.Close() // a receiver that never came keeps nobody waiting
	}()
	if conn, err := l.Accept(); err == nil {
		if err := serve(ctx, conn.(*shmconn.Conn), file, content); err != nil {
			cmd.Process.Kill()
			<-ended
			return err
		}
	}
	if err := <-ended; err != nil {
		return fmt.Errorf("receiver: %w", err)
	}
	return nil
}

// fill makes the memory file.
func fill(size int64, path string) (*os.File, error) {
	var source io.Reader = rand.NewChaCha8([32]byte{})
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		source, size = f, info.Size()
	}
	return memfd.WriteOnce("blob", size, func(mem []byte) error {
		_, err := io.ReadFull(source, mem)
		return err
	})
}

// serve answers what the receiver asks for until it closes.
func serve(ctx context.Context, conn *shmconn.Conn, file *os.File, content *memfd.View) error {
	defer conn.Close()
	h := header{content.Size(), sha256.Sum256(content.Bytes())}
	if err := binary.Write(conn, binary.LittleEndian, h); err != nil {
		return err
	}
	for {
		var wish [1]byte
		_, err := io.ReadFull(conn, wish[:])
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case wish[0] == asFile:
			err = conn.SendFile(ctx, file)
		default:
			_, err = io.Copy(conn, content.Reader())
		}
		if err != nil {
			return err
		}
	}
}

// receive has the content sent in both ways.
func receive(ctx context.Context, path string, out io.Writer) error {
	c, err := new(shmconn.Dialer).DialContext(ctx, "shm", path)
	if err != nil {
		return err
	}
	conn := c.(*shmconn.Conn)
	defer conn.Close()
	var h header
	if err := binary.Read(conn, binary.LittleEndian, &h); err != nil {
		return err
	}
	if h.Size <= 0 || h.Size > 8<<30 { // whom one does not trust one sets limits
		return fmt.Errorf("content of %d bytes", h.Size)
	}

	buf := make([]byte, h.Size)
	for i := 0; i < len(buf); i += os.Getpagesize() {
		buf[i] = 1 // what the first access costs is not the connection's
	}
	start := time.Now()
	if err := ask(conn, asBytes); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, buf); err != nil {
		return err
	}
	if err := check(out, "io.Copy", buf, h, time.Since(start)); err != nil {
		return err
	}

	start = time.Now()
	if err := ask(conn, asFile); err != nil {
		return err
	}
	view, err := conn.ReceiveFile(ctx, h.Size)
	if err != nil {
		return err
	}
	defer view.Close()
	return check(out, "SendFile", view.Bytes(), h, time.Since(start))
}

func ask(conn net.Conn, wish byte) error {
	_, err := conn.Write([]byte{wish})
	return err
}

// check compares the content with what was announced.
func check(out io.Writer, way string, content []byte, h header, took time.Duration) error {
	start := time.Now()
	if int64(len(content)) != h.Size || sha256.Sum256(content) != h.Sum {
		return fmt.Errorf("%s: content differs", way)
	}
	fmt.Fprintf(out, "receiver: %-8s  %10v until all is there, SHA-256 verified in %v\n", way, round(took), round(time.Since(start)))
	return nil
}

func round(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(100 * time.Microsecond)
}
