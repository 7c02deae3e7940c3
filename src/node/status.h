// Status: what this host knows of the cluster, as a value. Derived each time, nothing is stored.
#pragma once

#include "control/view.h"
#include "node/node.h"

namespace mars::node {

control::ClusterView status_of(Node& node);

}  // namespace mars::node
