package outboxsql
