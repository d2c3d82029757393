// Package grpcretry shows how retry learns what gRPC's status codes mean.
package grpcretry
