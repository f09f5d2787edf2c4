#include "tools/sinkctl/event_export.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

struct Exported {
  uint64_t written = 0;
  uint64_t gone = 0;  // settled between the list and the look at its data
};

Problem file_problem(const std::string& what, int error) {
  const ExitStatus status =
      error == EACCES || error == EPERM ? ExitStatus::not_permitted : ExitStatus::invalid;
  return {status, what + ": " + std::strerror(error),
          error == EEXIST ? "name another directory with --output" : ""};
}

// Hands over each event with its data as one JSON line.
tl::expected<Exported, Problem> each_line(
    Context& context, const ExportOptions& options,
    const std::function<std::optional<Problem>(const std::string&)>& write) {
  const auto rows = ask_rows(context, options.filter, &admin::Reply::events);
  if (!rows) return tl::unexpected(rows.error());
  const auto encoding = options.encoding == "hex" ? DataEncoding::hex : DataEncoding::base64;
  Exported exported;
  for (const admin::EventRow& row : *rows) {
    const auto reply = ask(context, {.verb = admin::Verb::event_show,
                                     .subscription = row.subscription,
                                     .consumer = row.consumer,
                                     .position = row.position});
    if (!reply && reply.error().status == ExitStatus::unavailable &&
        context.ask({.verb = admin::Verb::status})) {
      ++exported.gone;
      continue;
    }
    if (!reply) return tl::unexpected(reply.error());
    for (const admin::EventRow& event : reply->events) {
      std::ostringstream line;
      print_line(line, to_json(event, encoding));
      if (const auto problem = write(line.str())) return tl::unexpected(*problem);
      ++exported.written;
    }
  }
  return exported;
}

std::optional<Problem> write_all(int file, const std::string& path, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return file_problem("cannot write " + path, errno);
    text.remove_prefix(static_cast<size_t>(written));
  }
  return std::nullopt;
}

// A file that goes away again unless it was kept.
class NewFile {
 public:
  explicit NewFile(std::string path)
      : path_(std::move(path)),
        number_(open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {}
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (number_ < 0) return;
    close(number_);
    if (!kept_) unlink(path_.c_str());
  }

  int number() const { return number_; }
  std::optional<Problem> keep(const std::string& directory) {
    if (fsync(number_) != 0) return file_problem("cannot sync " + path_, errno);
    const int parent = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) return file_problem("cannot open " + directory, errno);
    const int synced = fsync(parent);
    const int error = errno;
    close(parent);
    if (synced != 0) return file_problem("cannot sync " + directory, error);
    kept_ = true;
    return std::nullopt;
  }

 private:
  std::string path_;
  int number_;
  bool kept_ = false;
};

tl::expected<Exported, Problem> export_to_file(Context& context, const ExportOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(options.output, error);
  if (error) {
    return tl::unexpected(
        file_problem("cannot make the directory " + options.output, error.value()));
  }
  const std::string path = std::filesystem::path(options.output) / kExportFile;
  NewFile file(path);
  if (file.number() < 0) return tl::unexpected(file_problem("cannot make " + path, errno));
  const auto exported = each_line(context, options, [&](const std::string& line) {
    return write_all(file.number(), path, line);
  });
  if (!exported) return exported;
  if (const auto problem = file.keep(options.output)) return tl::unexpected(*problem);
  return exported;
}

}  // namespace

ExitStatus export_events(Context& context, const ExportOptions& options) {
  const bool to_out = options.output == "-";
  const auto exported = to_out ? each_line(context, options,
                                           [&](const std::string& line) -> std::optional<Problem> {
                                             context.out << line;
                                             return std::nullopt;
                                           })
                               : export_to_file(context, options);
  if (!exported) return report(context, exported.error());
  std::string message = format_count(exported->written) + " events exported";
  if (!to_out) message += " to " + (std::filesystem::path(options.output) / kExportFile).string();
  if (exported->gone > 0) {
    message += "; " + format_count(exported->gone) + " left quarantine meanwhile";
  }
  say(context, message);
  return ExitStatus::ok;
}

}  // namespace sink::tools
