package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/shmconn/shmconn"

// The modules that the root module may require itself. Whatever needs more lives in a nested module.
var requirements = []string{"golang.org/x/sys", "golang.org/x/net"}

// arrows lists, by top folder, what its code may import of this module; tests are free. "internal/"
// stands for all packages below internal.
//
// The folders with an empty list are independent building blocks. One of them may still import
// another if its package doc says so: see [source.excused].
var arrows = map[string][]string{
	"shmconn":     {"listener", "fdpass", "memfd", "ring", "internal/"},
	"listener":    {},
	"fdpass":      {},
	"memfd":       {},
	"ring":        {},
	"internal":    {},
	"sharedring":  {"fdpass", "memfd", "ring", "internal/"},
	"conformance": {"internal/"},
	"cmd":         {"shmconn", "sharedring", "listener", "fdpass", "memfd", "ring", "internal/"},
	// Examples are copied into other modules, which cannot import internal packages.
	"examples": {"shmconn", "sharedring", "listener", "fdpass", "memfd", "ring"},
}

// unsafeFile matches the files that may import unsafe: they say so in their names, in front of what
// go build reads in a name.
var unsafeFile = regexp.MustCompile(`_unsafe(_[a-z0-9]+)*\.go$`)

// linuxFile matches the files that go build takes for Linux only.
var linuxFile = regexp.MustCompile(`_linux(_(amd64|arm64|386|test))*\.go$`)

// source is one Go file.
type source struct {
	name string // slash-separated, relative to the root of the module
	file *ast.File
	fset *token.FileSet
	doc  string // the package doc, gathered from all files of the directory
}

func (s *source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

// check applies all rules to the root module in fsys and returns what breaks them.
func check(fsys fs.FS) ([]string, error) {
	gomod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, err
	}
	problems := checkRequirements(string(gomod))
	sources, err := load(fsys)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		problems = append(problems, s.check()...)
	}
	return problems, nil
}

// checkRequirements finds requirements beyond the allowed ones in a go.mod that go mod tidy has
// written. The indirect ones belong to those and are not looked at.
func checkRequirements(gomod string) (problems []string) {
	block := false
	for line := range strings.Lines(gomod) {
		line = strings.TrimSpace(line)
		rest, single := strings.CutPrefix(line, "require ")
		switch {
		case rest == "(":
			block = true
		case line == ")":
			block = false
		case (single || block) && !strings.HasSuffix(line, "// indirect"):
			if f := strings.Fields(rest); len(f) > 0 && !slices.Contains(requirements, f[0]) {
				problems = append(problems, fmt.Sprintf("go.mod: requires %s; only %s may be required here, put the code into a nested module",
					f[0], strings.Join(requirements, " and ")))
			}
		}
	}
	return problems
}

// load parses all Go files of the module, whatever system they are for. Nested modules, testdata and
// hidden directories are left out.
func load(fsys fs.FS) ([]*source, error) {
	var sources []*source
	docs := make(map[string]string)
	fset := token.NewFileSet()
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if entry.IsDir() && name != "." {
			_, err := fs.Stat(fsys, path.Join(name, "go.mod"))
			if err == nil || base == "testdata" || base[0] == '.' || base[0] == '_' {
				return fs.SkipDir
			}
		}
		if entry.IsDir() || path.Ext(name) != ".go" || base[0] == '.' {
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		s := &source{name: name, file: file, fset: fset}
		sources = append(sources, s)
		if !s.test() {
			docs[path.Dir(name)] += file.Doc.Text()
		}
		return nil
	})
	for _, s := range sources {
		s.doc = docs[path.Dir(s.name)]
	}
	return sources, err
}

func (s *source) check() (problems []string) {
	report := func(node ast.Node, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s: %s", s.fset.Position(node.Pos()), fmt.Sprintf(format, args...)))
	}
	from := folder(s.name)
	if _, ok := arrows[from]; !ok && !s.test() {
		report(s.file.Name, "folder %s has no row in the table of allowed imports", from)
	}
	for _, spec := range s.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			report(spec, "%v", err)
			continue
		}
		own, isOwn := strings.CutPrefix(imported, module+"/")
		first, _, _ := strings.Cut(imported, "/")
		switch {
		case imported == "unsafe":
			if !unsafeFile.MatchString(s.name) {
				report(spec, "unsafe outside of a file named *_unsafe.go")
			}
		case isOwn:
			if !s.test() && !allowed(arrows[from], own) && !s.excused(own) {
				report(spec, "%s may not import %s; remove the import or, for a building block, say in the package doc why it imports %[2]s", from, own)
			}
		case strings.HasPrefix(imported, "golang.org/x/sys/"):
			if !slices.Contains([]string{"memfd", "fdpass", "internal"}, from) && !linuxFile.MatchString(s.name) {
				report(spec, "%s outside of memfd, fdpass, internal and *_linux.go", imported)
			}
		case strings.HasPrefix(imported, "golang.org/x/net/"):
			if !s.test() && from != "conformance" {
				report(spec, "%s outside of tests and conformance", imported)
			}
		case strings.Contains(first, "."):
			report(spec, "%s is neither in the standard library nor in %s", imported, strings.Join(requirements, " or "))
		}
	}
	if !s.test() && s.file.Name.Name != "main" {
		undocumented(s.file, func(name *ast.Ident) { report(name, "%s has no doc comment", name.Name) })
	}
	if !s.test() && s.doc == "" {
		report(s.file.Name, "package %s has no doc comment", s.file.Name.Name)
	}
	for _, decl := range s.file.Decls {
		if use := unjustified(s.file, decl); use != nil {
			report(use, "use of unsafe without a SAFETY: comment in the declaration around it")
		}
	}
	return problems
}

// folder returns the top folder of a file, which is its row in arrows.
func folder(name string) string {
	top, _, _ := strings.Cut(path.Dir(name), "/")
	return top
}

func allowed(list []string, imported string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		return imported == a || strings.HasSuffix(a, "/") && strings.HasPrefix(imported, a)
	})
}

// excused reports whether s is part of a building block whose package doc mentions the import by its
// path below the module, such as "internal/race".
func (s *source) excused(imported string) bool {
	list, ok := arrows[folder(s.name)]
	block := allowed(arrows["shmconn"], imported)
	return ok && len(list) == 0 && block && regexp.MustCompile(`\b`+regexp.QuoteMeta(imported)+`\b`).MatchString(s.doc)
}

// unjustified returns the first use of unsafe's pointer arithmetic and conversions in a declaration
// that no SAFETY: comment in the declaration, or in its doc comment, speaks for. The constants
// Sizeof, Offsetof and Alignof need none.
func unjustified(file *ast.File, decl ast.Decl) (use ast.Node) {
	ast.Inspect(decl, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && use == nil {
			x, ok := sel.X.(*ast.Ident)
			if ok && x.Name == "unsafe" && !slices.Contains([]string{"Sizeof", "Offsetof", "Alignof"}, sel.Sel.Name) {
				use = sel
			}
		}
		return true
	})
	if use == nil {
		return nil
	}
	for _, group := range file.Comments {
		near := group.Pos() >= decl.Pos() && group.End() <= decl.End()
		switch d := decl.(type) {
		case *ast.FuncDecl:
			near = near || group == d.Doc
		case *ast.GenDecl:
			near = near || group == d.Doc
		}
		if near && strings.Contains(group.Text(), "SAFETY:") {
			return nil
		}
	}
	return use
}
