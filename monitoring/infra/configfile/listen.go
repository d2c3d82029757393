package configfile

import (
	"net"
	"strconv"

	"example.com/once/monitoring/yamldoc"
)

// listen reads an address to listen on: host:port, where the host may be empty.
func (f *file) listen(d yamldoc.Field) string {
	text := f.Text(d)
	if text == "" {
		return defaultListen
	}
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		f.Reportf(d.Value, "listen: %q is no address; want one like %s", text, defaultListen)
		return text
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		f.Reportf(d.Value, "listen: %q is no port; want a number up to 65535", port)
	}
	return text
}
