/* client/sink_types.h and sink_requests.h by themselves, as a C compiler reads them: the sizes that
 * client_c_test.cc compares with those of C++. */
#include "client/sink_requests.h"

size_t sink_types_alone_delivery(void);
size_t sink_types_alone_dropped(void);

size_t sink_types_alone_delivery(void) { return sizeof(sink_delivery); }
size_t sink_types_alone_dropped(void) { return sizeof(sink_dropped_event); }

size_t sink_types_alone_reply(void);
size_t sink_types_alone_place(void);

size_t sink_types_alone_reply(void) { return sizeof(sink_reply); }
size_t sink_types_alone_place(void) { return sizeof(sink_place); }
