package idemtest

func txCases[Tx any]() []kitCase { return nil }
