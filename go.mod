module example.com/once

go 1.26

require (
	github.com/cenkalti/backoff/v4 v4.3.0
	github.com/dunglas/httpsfv v1.1.2
	github.com/google/uuid v1.6.0
	github.com/sony/gobreaker/v2 v2.4.0
)
