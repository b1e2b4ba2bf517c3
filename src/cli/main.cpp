#include "cli/application.hpp"

#include <unistd.h>

int main(int count, char** words) { return zerosim::cli::run_application(count, words, environ); }
