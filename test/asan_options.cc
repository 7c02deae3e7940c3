// Of test programs with the address sanitizer; $ASAN_OPTIONS goes before. By default it keeps 256 MiB of freed memory
// and thirty callers of each allocation: a sixth of the processor time of a simulated cluster, most of it page faults.
extern "C" const char* __asan_default_options();

extern "C" const char* __asan_default_options() { return "quarantine_size_mb=32:malloc_context_size=12"; }
