#include "dataplane/http/parse.h"
