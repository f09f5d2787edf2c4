/* client/sink_types.h, sink_requests.h and sink_channels.h by themselves, as a C compiler reads
 * them: the sizes that client_c_test.cc compares with those of C++. */
#include "client/sink_channels.h"

size_t sink_types_alone_delivery(void);
size_t sink_types_alone_dropped(void);

size_t sink_types_alone_delivery(void) { return sizeof(sink_delivery); }
size_t sink_types_alone_dropped(void) { return sizeof(sink_dropped_event); }

size_t sink_types_alone_reply(void);
size_t sink_types_alone_place(void);

size_t sink_types_alone_reply(void) { return sizeof(sink_reply); }
size_t sink_types_alone_place(void) { return sizeof(sink_place); }

size_t sink_types_alone_channels(void);
size_t sink_types_alone_channel(void);

size_t sink_types_alone_channels(void) { return sizeof(sink_channels); }
size_t sink_types_alone_channel(void) { return sizeof(sink_channel); }
