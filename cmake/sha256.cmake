# cmake -DIN=file -DOUT=header -DNAME=name -P sha256.cmake: the digest of IN as an initialiser.
file(SHA256 ${IN} hex)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes ${hex})
string(TOUPPER ${NAME} upper)
file(WRITE ${OUT} "#define ${upper}_SHA256 {${bytes}}\n")
