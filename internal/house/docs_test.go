package house

import (
	"go/ast"
	"regexp"
)

// undocumented calls report for each exported name of a file that no comment is about: functions,
// methods, types, their fields and methods, constants and variables. The comment of a group of
// constants or variables is about all of them.
func undocumented(file *ast.File, report func(name *ast.Ident)) {
	need := func(documented bool, names ...*ast.Ident) {
		for _, name := range names {
			if !documented && name.IsExported() {
				report(name)
			}
		}
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			need(d.Doc != nil || d.Recv != nil && !receiver(d).IsExported(), d.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.ValueSpec:
					need(d.Doc != nil || s.Doc != nil || s.Comment != nil, s.Names...)
				case *ast.TypeSpec:
					doc := s.Doc
					if doc == nil && !d.Lparen.IsValid() {
						doc = d.Doc
					}
					need(doc != nil, s.Name)
					if s.Name.IsExported() {
						for _, name := range members(s.Type, doc.Text()) {
							need(false, name)
						}
					}
				}
			}
		}
	}
}

// receiver returns the type that d is a method of.
func receiver(d *ast.FuncDecl) *ast.Ident {
	expr := d.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		default:
			return e.(*ast.Ident)
		}
	}
}

// members returns the fields of a struct, or the methods of an interface, that have no comment of
// their own and whose names occur in none of the others, nor in doc, which is the type's. Embedded
// ones have the documentation of their types.
func members(expr ast.Expr, doc string) (bare []*ast.Ident) {
	var list *ast.FieldList
	switch e := expr.(type) {
	case *ast.StructType:
		list = e.Fields
	case *ast.InterfaceType:
		list = e.Methods
	default:
		return nil
	}
	for _, f := range list.List {
		doc += "\n" + f.Doc.Text() + f.Comment.Text()
	}
	for _, f := range list.List {
		for _, name := range f.Names {
			if f.Doc == nil && f.Comment == nil && !regexp.MustCompile(`\b`+name.Name+`\b`).MatchString(doc) {
				bare = append(bare, name)
			}
		}
	}
	return bare
}
