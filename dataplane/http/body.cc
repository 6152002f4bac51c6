#include "dataplane/http/body.h"
