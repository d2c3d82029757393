package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed assets/*
var assets embed.FS

// pages makes pages of views.
type pages struct {
	layouts map[string]*template.Template // by view.template
	build   string                        // changes with the assets and templates
}

// view is what a page shows.
type view struct {
	template string
	title    string
	alarm    bool // something needs a person
	live     bool // it brings itself up to date
	Data     any
}

// layout is what every page has.
type layout struct {
	Title   string
	Icon    string
	Replica string
	Version string
	Build   string
	Refresh int64 // milliseconds; 0 = never
	Now     moment
	Data    any
}

func newPages() (*pages, error) {
	p := &pages{layouts: make(map[string]*template.Template)}
	sum := sha256.New()
	for _, dir := range []struct {
		fs   embed.FS
		name string
	}{{templates, "templates"}, {assets, "assets"}} {
		entries, err := dir.fs.ReadDir(dir.name)
		if err != nil {
			return nil, fmt.Errorf("embedded files: %w", err)
		}
		for _, e := range entries {
			data, err := dir.fs.ReadFile(path.Join(dir.name, e.Name()))
			if err != nil {
				return nil, fmt.Errorf("embedded files: %w", err)
			}
			sum.Write(data)
		}
	}
	p.build = hex.EncodeToString(sum.Sum(nil)[:6])
	for _, name := range []string{"overview", "timeline", "failure"} {
		t, err := template.New("layout.html").Funcs(template.FuncMap{"count": count}).
			ParseFS(templates, "templates/layout.html", "templates/parts.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
		p.layouts[name] = t
	}
	return p, nil
}

// render makes a page. It is made as a whole before anything is sent.
func (p *pages) render(s *Server, v view) ([]byte, error) {
	l := layout{
		Title: v.title + " · monitor", Icon: "/favicon.svg", Replica: s.c.Replica, Version: s.c.Version, Build: p.build,
		Now: at(time.Time{}, time.Now().Truncate(time.Second)), Data: v.Data,
	}
	if v.alarm {
		l.Icon = "/favicon-alarm.svg"
	}
	if v.live && s.c.Refresh > 0 {
		l.Refresh = s.c.Refresh.Milliseconds()
	}
	var b bytes.Buffer
	if err := p.layouts[v.template].Execute(&b, l); err != nil {
		return nil, fmt.Errorf("template %s: %w", v.template, err)
	}
	return b.Bytes(), nil
}

// assets serves what the pages refer to.
func (p *pages) assets(mux *http.ServeMux) {
	for pattern, name := range map[string]string{
		"GET /assets/page.css":   "page.css",
		"GET /assets/page.js":    "page.js",
		"GET /favicon.svg":       "favicon.svg",
		"GET /favicon.ico":       "favicon.svg",
		"GET /favicon-alarm.svg": "favicon-alarm.svg",
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			data, err := assets.ReadFile("assets/" + name)
			if err != nil {
				http.NotFound(w, r)
				return
			}
			h := w.Header()
			switch path.Ext(name) {
			case ".css":
				h.Set("Content-Type", "text/css; charset=utf-8")
			case ".js":
				h.Set("Content-Type", "text/javascript; charset=utf-8")
			default:
				h.Set("Content-Type", "image/svg+xml")
			}
			// The address of a page's asset changes with its content.
			if r.URL.Query().Get("v") == p.build || strings.HasPrefix(r.URL.Path, "/favicon") {
				h.Set("Cache-Control", "public, max-age=86400")
			}
			_, _ = w.Write(data)
		})
	}
}
