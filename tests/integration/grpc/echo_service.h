/* sonde.test.Echo on the server library: see echo.proto. */
#pragma once

#include "backend/grpc/server.h"

struct echo;

struct echo *echo_new(void);
/* Waits for its sleepers; call it after grpc_server_stop(). */
void echo_free(struct echo *echo);
struct grpc_service echo_service(struct echo *echo);
/* on_start without its on_close: 0 when nothing is under way. */
int echo_open_calls(struct echo *echo);
