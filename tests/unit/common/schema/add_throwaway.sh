#!/bin/sh
# add_throwaway.sh DIR: what adding a metric takes: one field. And what adding a section takes: a message and a field of Snapshot.
set -eu
sed -i 's|^message Cpu {|&\n  optional uint64 throwaway_us = 99 [(metric) = {kind: METRIC_KIND_COUNTER unit: UNIT_MICROSECONDS help: "Time thrown away"}];|' \
  "$1/sonde/v1/cpu.proto"
sed -i 's|^message Snapshot {|&\n  optional Weather weather = 100;|' "$1/sonde/v1/snapshot.proto"
cat >>"$1/sonde/v1/snapshot.proto" <<'END'
message Station {
  optional string station = 1 [(sonde.v1.label) = LABEL_ROLE_NAME];
  optional double temperature_celsius = 2 [(sonde.v1.metric) = {kind: METRIC_KIND_GAUGE unit: UNIT_CELSIUS help: "Outside"}];
}
message Weather {
  optional State state = 1;
  repeated Station stations = 2;
}
END
sed -i 's|^import "sonde/v1/memory.proto";|&\nimport "sonde/v1/metric.proto";|' "$1/sonde/v1/snapshot.proto"
