// The manual page and the shell completion of marsadm, made from the tables. The generated files are kept in the
// repository, a test compares them: doc/man/marsadm.8, packaging/marsadm.bash.
#pragma once

#include <string>

namespace mars::cli {

std::string manual_page();  // troff, section 8
std::string bash_completion();

}  // namespace mars::cli
