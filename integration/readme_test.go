package integration_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// notFrameworks are required for what the tests do with the frameworks.
var notFrameworks = []string{
	"github.com/shmconn/shmconn",
	"golang.org/x/net",
	"google.golang.org/protobuf",
}

var (
	requirement = regexp.MustCompile(`(?m)^\t(\S+) (v\S+)$`) // of our own, not an indirect one
	goVersion   = regexp.MustCompile(`(?m)^go (\d+\.\d+)`)
	pkgLink     = regexp.MustCompile(`\(https://pkg\.go\.dev/([^)]+)\)`)
	testLink    = regexp.MustCompile(`\((integration/[^)]+)\)`)
)

// TestREADME compares the table of what shmconn works with to what these tests
// test.
func TestREADME(t *testing.T) {
	gomod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	untold := make(map[string]string)
	for _, m := range requirement.FindAllStringSubmatch(string(gomod), -1) {
		untold[m[1]] = m[2]
	}
	for _, path := range notFrameworks {
		delete(untold, path)
	}
	for _, row := range table(t) {
		module, version := "Go's standard library", "Go "+goVersion.FindStringSubmatch(string(gomod))[1]
		if m := pkgLink.FindStringSubmatch(row[0]); m != nil {
			module, version = m[1], untold[m[1]]
			delete(untold, module)
		}
		if got := row[3]; got != version {
			t.Errorf("%s: version is %q in the table, %q in go.mod", module, got, version)
		}
		tests := testLink.FindAllStringSubmatch(row[4], -1)
		if len(tests) == 0 {
			t.Errorf("%s: no tests", module)
		}
		for _, m := range tests {
			source, err := os.ReadFile(filepath.Join("..", m[1]))
			if err != nil {
				t.Errorf("%s: %v", module, err)
			} else if strings.Contains(module, ".") && !usedBy(t, module, string(source)) {
				t.Errorf("%s: not imported by %s", module, m[1])
			}
		}
	}
	for module, version := range untold {
		t.Errorf("%s %s is tested and not in the table", module, version)
	}
}

// usedBy reports whether the source, or what all tests share, imports a package
// of the module.
func usedBy(t *testing.T, module, source string) bool {
	t.Helper()
	shared, err := os.ReadFile("internal/peer/child.go")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(source+string(shared), `"`+module)
}

// table returns the cells of the README's table in the section "Works with".
func table(t *testing.T) (rows [][]string) {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Works with\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "| ")
		if !ok || !strings.HasSuffix(line, " |") {
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.TrimSuffix(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		if len(cells) != 5 {
			t.Errorf("row with %d cells, want 5: %s", len(cells), line)
			continue
		}
		rows = append(rows, cells)
	}
	if len(rows) < 2 {
		t.Fatal("no table")
	}
	return rows[1:] // without the head
}
