// docker-read reads Dockerfiles, ignore files and image names with Docker's own code; the tests hold the package's readers against it.
//
// One JSON document comes in, one goes out, in the same order.
package main

import (
	"context"
	_ "crypto/sha256" // digests are checked by what is linked
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"
)

type request struct {
	Dockerfiles []dockerfile
	Words       []word
	Contexts    []folder
	References  []string
}

type answer struct {
	Dockerfiles []any `json:"dockerfiles"`
	Words       []any `json:"words"`
	Contexts    []any `json:"contexts"`
	References  []any `json:"references"`
}

type failure struct {
	Error string `json:"error"`
}

func main() {
	var asked request
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		panic(err)
	}
	answers := answer{
		Dockerfiles: all(asked.Dockerfiles, readDockerfile),
		Words:       all(asked.Words, expand),
		Contexts:    all(asked.Contexts, list),
		References:  all(asked.References, normalise),
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}

func all[T any](items []T, read func(T) (any, error)) []any {
	answers := []any{}
	for _, item := range items {
		one, err := read(item)
		if err != nil {
			one = failure{err.Error()}
		}
		answers = append(answers, one)
	}
	return answers
}

// -- Dockerfiles ---------------------------------------------------------------------------------------------------

type dockerfile struct {
	Text      string
	Arguments map[string]string
}

type document struct {
	Name    string `json:"name"`
	Expand  bool   `json:"expand"`
	Content string `json:"content"`
}

type instruction struct {
	Name      string     `json:"name"`
	Flags     []string   `json:"flags"`
	Arguments []string   `json:"arguments"`
	Exec      bool       `json:"exec"`
	Documents []document `json:"documents"`
}

type stage struct {
	Base string `json:"base"`
	Name string `json:"name"`
}

type content struct {
	Instructions []instruction `json:"instructions"`
	Stages       []stage       `json:"stages"`
}

func readDockerfile(file dockerfile) (any, error) {
	parsed, err := parser.Parse(strings.NewReader(file.Text))
	if err != nil {
		return nil, err
	}
	stages, metaArguments, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	if len(stages) == 0 {
		return nil, errors.New("no stages")
	}
	contents := content{}
	for _, node := range parsed.AST.Children {
		contents.Instructions = append(contents.Instructions, plain(node))
	}
	lex := shell.NewLex(parsed.EscapeToken)
	values, err := global(lex, metaArguments, file.Arguments)
	if err != nil {
		return nil, err
	}
	for _, each := range stages {
		base, _, err := lex.ProcessWord(each.BaseName, values)
		if err != nil {
			return nil, err
		}
		contents.Stages = append(contents.Stages, stage{base, each.Name})
	}
	return contents, nil
}

func plain(node *parser.Node) instruction {
	one := instruction{
		Name: strings.ToUpper(node.Value), Flags: append([]string{}, node.Flags...), Arguments: []string{}, Documents: []document{},
		Exec: node.Attributes["json"],
	}
	for each := node.Next; each != nil; each = each.Next {
		if len(each.Children) == 0 {
			one.Arguments = append(one.Arguments, each.Value)
			continue
		}
		// ONBUILD: what it holds back stands in its place, by BuildKit's own order.
		below := plain(each.Children[0])
		one.Arguments = append(append(append(one.Arguments, below.Name), below.Flags...), below.Arguments...)
		one.Exec = below.Exec
	}
	for _, each := range node.Heredocs {
		text := each.Content
		if each.Chomp {
			text = parser.ChompHeredocContent(text)
		}
		one.Documents = append(one.Documents, document{each.Name, each.Expand, text})
	}
	return one
}

// global puts the values of ARGs above the first FROM together, as the conversion of a Dockerfile to a build graph does.
func global(lex *shell.Lex, arguments []instructions.ArgCommand, given map[string]string) (shell.EnvGetter, error) {
	values := []string{
		"TARGETPLATFORM=linux/amd64", "TARGETOS=linux", "TARGETARCH=amd64", "TARGETVARIANT=",
		"BUILDPLATFORM=linux/amd64", "BUILDOS=linux", "BUILDARCH=amd64", "BUILDVARIANT=",
	}
	for _, command := range arguments {
		for _, one := range command.Args {
			if value, ok := given[one.Key]; ok {
				values = append(values, one.Key+"="+value)
			} else if one.Value != nil {
				value, _, err := lex.ProcessWord(*one.Value, shell.EnvsFromSlice(values))
				if err != nil {
					return nil, err
				}
				values = append(values, one.Key+"="+value)
			}
		}
	}
	return shell.EnvsFromSlice(values), nil
}

// -- variables -----------------------------------------------------------------------------------------------------

type word struct {
	Text   string
	Escape string
	Values map[string]string
}

func expand(one word) (any, error) {
	values := []string{}
	for name, value := range one.Values {
		values = append(values, name+"="+value)
	}
	escape := []rune(one.Escape)[0]
	text, _, err := shell.NewLex(escape).ProcessWord(one.Text, shell.EnvsFromSlice(values))
	return text, err
}

// -- build contexts ------------------------------------------------------------------------------------------------

type folder struct {
	Path   string
	Ignore string
}

// list names the files and links that a client sends to BuildKit for a build context with an ignore file.
func list(from folder) (any, error) {
	patterns, err := ignorefile.ReadAll(strings.NewReader(from.Ignore))
	if err != nil {
		return nil, err
	}
	names := []string{}
	err = fsutil.Walk(context.Background(), from.Path, &fsutil.FilterOpt{ExcludePatterns: patterns},
		func(path string, info fs.FileInfo, err error) error {
			if err == nil && (info.Mode().IsRegular() || info.Mode()&fs.ModeSymlink != 0) {
				names = append(names, path)
			}
			return err
		})
	return names, err
}

// -- image names ---------------------------------------------------------------------------------------------------

type name struct {
	Host       string `json:"host"`
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
}

func normalise(text string) (any, error) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return nil, err
	}
	parts := name{Host: reference.Domain(named), Repository: reference.Path(named)}
	if tagged, ok := named.(reference.Tagged); ok {
		parts.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		parts.Digest = digested.Digest().String()
	}
	return parts, nil
}
