package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cloudflare/tableflip"

	"github.com/shmconn/shmconn/integration/internal/peer"
	"github.com/shmconn/shmconn/shmconn"
)

// flipEnv holds the path at which this process is to be a server that replaces
// itself. The processes that it starts get it too.
const flipEnv = "SHMCONN_TABLEFLIP"

func init() {
	if path := os.Getenv(flipEnv); path != "" {
		if err := serveFlipping(path); err != nil {
			log.Fatal(err)
		}
		os.Exit(0)
	}
}

// serveFlipping answers HTTP requests with its process ID. On SIGHUP it starts
// its successor, hands the socket over, answers what it has accepted and ends,
// as it does on SIGTERM without one. It does not outlive the test, which holds
// the other end of its standard input.
func serveFlipping(path string) error {
	upgrader, err := tableflip.New(tableflip.Options{UpgradeTimeout: peer.Patience})
	if err != nil {
		return err
	}
	defer upgrader.Stop()
	ended := terminated()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		for range hup {
			err := upgrader.Upgrade()
			// The upgrader may learn that after WaitForParent.
			for err != nil && err.Error() == "parent hasn't exited" {
				err = upgrader.Upgrade()
			}
			if err != nil {
				log.Print(err)
			}
		}
	}()
	l, err := upgrader.ListenWithCallback("unix", path, shmconn.Listen)
	if err != nil {
		return err
	}
	if _, ok := l.(*shmconn.Listener); !ok {
		l = shmconn.NewListener(l, nil) // inherited
	}
	var conns sync.WaitGroup
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, os.Getpid())
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				conns.Add(1)
			case http.StateClosed:
				conns.Done()
			}
		},
	}
	if err := upgrader.Ready(); err != nil {
		return err
	}
	// Until then clients come this far and no further, so that an answer says that
	// this is the only process, which can be replaced or ended.
	if err := upgrader.WaitForParent(context.Background()); err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-upgrader.Exit():
	case <-ended.Done():
	}
	// Not by Shutdown. Over whatever socket, net/http would drop the requests of
	// connections that it has accepted before and not read from.
	if err := l.Close(); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		return err
	}
	conns.Wait()
	return nil
}

// TestTableflip replaces a server several times while clients keep connecting
// and asking. No request is lost, and all of them go through shared memory.
func TestTableflip(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := peer.SocketPath(t)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), flipEnv+"="+path, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})

	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(shmconn.Dialer).DialContext(ctx, "shm", path)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: peer.Patience}
	// ask returns the process that answers.
	ask := func() (pid int, err error) {
		response, err := client.Get("http://server/")
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(string(body))
	}
	peer.Eventually(t, "the server listens", func() bool {
		_, err := ask()
		return err == nil
	})

	var wg sync.WaitGroup
	var over atomic.Bool
	var answers atomic.Int64
	for range 4 {
		wg.Go(func() {
			for !over.Load() {
				if _, err := ask(); err != nil {
					t.Error(err)
					return
				}
				answers.Add(1)
			}
		})
	}
	current, err := ask()
	for generation := 0; generation < 3 && err == nil; generation++ {
		if err = syscall.Kill(current, syscall.SIGHUP); err != nil {
			break
		}
		old := current
		peer.Eventually(t, "the successor answers", func() bool {
			current, err = ask()
			return err != nil || current != old
		})
	}
	over.Store(true)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if answers.Load() == 0 {
		t.Error("no request was answered meanwhile")
	}
	t.Logf("%d answers", answers.Load())
	if err := syscall.Kill(current, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	peer.Eventually(t, "the last server is gone", func() bool {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}
