module example.com/once/benchmarks

go 1.26

require example.com/once v0.0.0-00010101000000-000000000000

replace example.com/once => ..
