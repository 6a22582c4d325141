#include "tests/devchain/node.h"

#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "tests/devchain/core.h"

#define CLOCK_LAMPORTS 1169280u

void node_open(struct node *node, const char *name, struct chain *chain, uint64_t started_ms)
{
	*node = (struct node){.name = name, .chain = chain, .started_ms = started_ms};
	bug_if(pubkey_parse(SYSVAR_PROGRAM, node->clock_program) != 0);
}

static uint64_t lower_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void node_view(const struct node *node, struct view *view_r)
{
	chain_view(node->chain, node->faults.lag + node->faults.lower, view_r);
	if (!node->faults.freeze)
		return;
	/* a fork may have dropped what the frozen node saw */
	for (size_t i = 0; i < COMMITMENTS; i++)
		view_r->height[i] = lower_of(view_r->height[i], node->frozen.height[i]);
}

uint64_t node_height(const struct node *node, enum commitment commitment)
{
	struct view view;

	node_view(node, &view);
	return view.height[commitment];
}

uint64_t node_told_slot(const struct node *node, uint64_t slot)
{
	return node->faults.bad_slot ? UINT64_MAX : slot + node->faults.ahead;
}

uint64_t node_slot(const struct node *node, enum commitment commitment)
{
	return node_told_slot(node, chain_block(node->chain, node_height(node, commitment)).slot);
}

static void write_le(uint8_t *at, uint64_t value)
{
	for (size_t i = 0; i < 8; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static void read_clock(struct node *node, uint64_t height, struct reading *reading_r)
{
	struct block block = chain_block(node->chain, height);
	uint64_t epoch = block.slot / SLOTS_PER_EPOCH;

	write_le(node->clock_data, node_told_slot(node, block.slot));
	write_le(node->clock_data + 8, node->started_ms / 1000);
	write_le(node->clock_data + 16, epoch);
	write_le(node->clock_data + 24, epoch + 1);
	write_le(node->clock_data + 32, block.time_ms / 1000 - node->faults.skew_s);
	reading_r->program = node->clock_program;
	reading_r->data = node->clock_data;
	reading_r->len = CLOCK_DATA_LEN;
	reading_r->lamports = CLOCK_LAMPORTS;
}

static void tell_lie(struct lie *lie, const struct account_state *state, struct reading *reading_r)
{
	uint8_t *data = realloc(lie->data, state->len);

	bug_if(!data);
	memcpy(data, state->data, state->len);
	memcpy(data + 1, lie->owner, PUBKEY_LEN);
	lie->data = data;
	reading_r->data = data;
}

bool node_read(
    struct node *node, const uint8_t key[PUBKEY_LEN], uint64_t height, struct reading *reading_r)
{
	const struct account *account = chain_find(node->chain, key);
	const struct account_state *state =
	    account_at(account, chain_block(node->chain, height).slot);
	uint8_t clock[PUBKEY_LEN];

	*reading_r = (struct reading){.key = key};
	bug_if(pubkey_parse(SYSVAR_CLOCK, clock) != 0);
	if (memcmp(key, clock, PUBKEY_LEN) == 0) {
		read_clock(node, height, reading_r);
		return true;
	}
	if (!state)
		return false;
	reading_r->program = state->program;
	reading_r->data = state->data;
	reading_r->len = state->len;
	reading_r->lamports = state->lamports;
	reading_r->executable = state_is_program(state);
	for (size_t i = 0; i < node->faults.nlies; i++)
		if (memcmp(node->faults.lies[i].asset, key, PUBKEY_LEN) == 0 &&
		    core_is_asset(state))
			tell_lie(&node->faults.lies[i], state, reading_r);
	return true;
}

void node_freeze(struct node *node)
{
	node->faults.freeze = false;
	node_view(node, &node->frozen);
	node->faults.freeze = true;
}

void node_reset(struct node *node)
{
	for (size_t i = 0; i < node->faults.nlies; i++)
		free(node->faults.lies[i].data);
	node->faults = (struct faults){0};
}
