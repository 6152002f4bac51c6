#include "dataplane/service/forwarding_rules.h"
