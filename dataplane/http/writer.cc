#include "dataplane/http/writer.h"
