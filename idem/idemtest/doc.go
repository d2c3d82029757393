package idemtest
