module badge

go 1.24
