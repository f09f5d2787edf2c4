// Headers that most of sinkctl's sources include and that are slow to compile; read once.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
