/* client/sink_types.h by itself, as a C compiler reads it: the sizes that client_c_test.cc compares
 * with those of C++. */
#include "client/sink_types.h"

size_t sink_types_alone_delivery(void);
size_t sink_types_alone_dropped(void);

size_t sink_types_alone_delivery(void) { return sizeof(sink_delivery); }
size_t sink_types_alone_dropped(void) { return sizeof(sink_dropped_event); }
