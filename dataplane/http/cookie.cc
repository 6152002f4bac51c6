#include "dataplane/http/cookie.h"
