// The program: hands its arguments to the command line and the only object it owns, the process, to `run`.
#include <unistd.h>

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "control/cli/commands.h"
#include "control/run.h"

int main(int count, char** arguments) {
  namespace control = steelyard::control;
  try {
    const std::vector<std::string> words(arguments + (count > 0 ? 1 : 0), arguments + count);
    return control::cli::execute(words, {std::cout, std::cerr, control::run, STDOUT_FILENO, STDIN_FILENO});
  } catch (const std::exception& error) {
    std::cerr << "steelyard: " << error.what() << '\n';
    return control::cli::exit_refused;
  }
}
