/* vaults - calls to secret-vault. Each carries the session's token: the vault judges it itself, and never takes router's word. */
#ifndef ROUTER_VAULTS_H
#define ROUTER_VAULTS_H

#include "proto/vault.h"
#include "services/router/api.h"

#define VAULTS_MS 4000          /* nginx waits 5 s */
#define VAULTS_GENERATE_MS 6000 /* a fresh read of the chain is part of it; nginx waits 7 s */

/* Sends req, into whose token (its first member) the session's is written, and wipes it. Where no vault is configured: service_unavailable. */
void vaults_ask(
    struct api_call *call, const struct proto_call *what, void *req, uint64_t ms, bus_done done);

#endif
