/* grpc.testing.TestService, whose clients and cases are those of gRPC's interoperability tests
 * (https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md). For tests only. */
#pragma once

#include "backend/grpc/server.h"

struct interop;

/* NULL without memory. */
struct interop *interop_new(void);
/* After grpc_server_stop(): waits for what still sleeps. Accepts NULL. */
void interop_free(struct interop *interop);

struct grpc_service interop_service(struct interop *interop);
int interop_open_calls(struct interop *interop);
