// The test program of tools/sinkctl: the cases are in the *_test.cc files of this folder.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
