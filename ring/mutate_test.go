package ring

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var runMutations = flag.Bool("mutate", false, "put each mutation into a copy of the package and see that a test fails")

// TestMutationsApply keeps the list of mutations in step with the code.
func TestMutationsApply(t *testing.T) {
	names := map[string]bool{}
	for _, m := range mutations {
		if names[m.name] {
			t.Errorf("two mutations are named %q", m.name)
		}
		names[m.name] = true
		if _, err := m.apply(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// TestMutations shows for each mutation which tests catch it: those of the
// package, and those of the schedule explorer. It takes some minutes.
func TestMutations(t *testing.T) {
	if !*runMutations {
		t.Skip("run with -mutate")
	}
	module := t.TempDir()
	dir := filepath.Join(module, "ring")
	bulk := filepath.Join("internal", "bulk")
	for to, from := range map[string]string{dir: ".", filepath.Join(module, bulk): filepath.Join("..", bulk)} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte("module github.com/shmconn/shmconn\n\ngo 1.26.0\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	unit := []string{"-skip=^Test(Mutations|MutationsApply|SoakIntegrity|SoakParking|MutexRing)$"}
	explorer := []string{"-tags=ringhook", "-run=^Test(Explore|WordsChange)", "-args", "-preemptions=2"}
	for _, args := range [][]string{unit, explorer} {
		if killers := failures(t, dir, args...); len(killers) > 0 {
			t.Fatalf("without any mutation these fail: %v", killers)
		}
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			files, err := m.apply()
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range files {
				original, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
				defer os.WriteFile(path, original, 0o666)
			}
			killers := append(failures(t, dir, unit...), failures(t, dir, explorer...)...)
			if len(killers) == 0 {
				t.Fatal("survives")
			}
			t.Log("killed by ", strings.Join(killers, ", "))
		})
	}
}

// apply returns the changed files.
func (m mutation) apply() (map[string]string, error) {
	files := map[string]string{}
	for _, e := range m.edits {
		text, ok := files[e.file]
		if !ok {
			b, err := os.ReadFile(e.file)
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%d times in %s:\n%s", n, e.file, e.old)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}

var failLine = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// failures returns the tests that fail in dir, or why none could run.
func failures(t *testing.T, dir string, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-vet=off", "-timeout=60s"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	var names []string
	for _, m := range failLine.FindAllStringSubmatch(string(out), -1) {
		names = append(names, m[1])
	}
	switch {
	case strings.Contains(string(out), "[build failed]"), strings.Contains(string(out), "[setup failed]"):
		t.Fatalf("does not compile:\n%s", out)
	case strings.Contains(string(out), "test timed out"):
		// A slow machine catches nothing: only named tests count.
		if len(names) == 0 {
			t.Fatalf("times out:\n%s", out)
		}
	case strings.Contains(string(out), "panic:") || strings.Contains(string(out), "fatal error:"):
		names = append(names, "a crash")
	case len(names) == 0:
		t.Fatalf("%v\n%s", err, out)
	}
	return names
}
