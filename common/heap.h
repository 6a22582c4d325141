/* heap - memory that libraries free is wiped first: what passed through their buffers (bodies, parsed JSON) is not left lying in the heap. */
#ifndef COMMON_HEAP_H
#define COMMON_HEAP_H

/* From now on jansson and libevent wipe what they free. First thing in main, before either is used. What json_dumps returns is the caller's. */
void heap_wipe_freed(void);

#endif
