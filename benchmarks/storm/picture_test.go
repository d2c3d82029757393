package storm

import (
	"flag"
	"fmt"
	"html"
	"math"
	"strings"
	"time"
)

// picture is where TestStorm draws the load over time:
//
//	go test -run Storm ./benchmarks/storm -picture ../../docs/storms.svg
var picture = flag.String("picture", "", "file to draw the load over time into")

// curve is the load of one row, second by second.
type curve struct {
	name string
	load []float64
}

// draw draws the load over time on a logarithmic scale, since 1 and 27 have to fit.
func draw(curves []curve) string {
	const width, height, left, top, right, bottom = 900, 420, 50, 20, 290, 40
	x := func(second int) float64 {
		return left + float64(second)*(width-left-right)/end.Seconds()
	}
	y := func(load float64) float64 {
		return height - bottom - math.Log2(max(load, 0.25)/0.25)*(height-top-bottom)/math.Log2(32/0.25)
	}
	colours := []string{"#6b7280", "#b45309", "#d97706", "#dc2626", "#7c2d12", "#047857", "#10b981", "#2563eb", "#7c3aed", "#db2777"}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	at, until := x(int(outageAt/time.Second)), x(int((outageAt+outage)/time.Second))
	fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="#fee2e2"/><text x="%.1f" y="%d" fill="#991b1b">out of order</text>`+"\n",
		at, top, until-at, height-top-bottom, at+4, height-bottom-8)
	for _, load := range []float64{0.25, 0.5, 1, 2, 4, 8, 16, 32} {
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#e5e7eb"/><text x="%d" y="%.1f" text-anchor="end">%v ×</text>`+"\n",
			left, y(load), width-right, left-6, y(load)+4, load)
	}
	for second := 0; second <= int(end/time.Second); second += 10 {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d s</text>`+"\n", x(second), height-bottom+18, second)
	}
	for i, c := range curves {
		var points []string
		for second, load := range c.load {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(second+1), y(load)))
		}
		colour := colours[i%len(colours)]
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", colour, strings.Join(points, " "))
		fmt.Fprintf(&b, `<path d="M%d %dh18" stroke="%s" stroke-width="3"/><text x="%d" y="%d">%s</text>`+"\n",
			width-right+14, top+10+i*22, colour, width-right+38, top+14+i*22, html.EscapeString(c.name))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d">requests at the server, as a multiple of what its clients want</text>`+"\n</svg>\n", left, height-6)
	return b.String()
}
