// Registers the pair styles with LAMMPS.
//
// SPDX-License-Identifier: GPL-2.0-only
// See pair_mtp.h.
#include "lammps.h"
#include "pair_mtp.h"
#include "pair_mtp_extrapolation.h"
#include "pair_mtp_gpu.h"

#if __has_include("version.h")
#include "version.h"
#endif

namespace {

// LAMMPS's plugin interface (its lammpsplugin.h), which not every installation of LAMMPS brings along.
extern "C" {
typedef void *(*PairFactory)(void *);
struct PluginDescription {
  const char *version;
  const char *style;
  const char *name;
  const char *info;
  const char *author;
  union {
    PairFactory v1;
    void *(*v2)(void *, int, char **);
  } creator;
  void *handle;
};
typedef void (*RegisterPlugin)(PluginDescription *, void *);
}

template <typename Style>
void *create(void *lmp)
{
  return new Style(static_cast<LAMMPS_NS::LAMMPS *>(lmp));
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle, void *registerplugin)
{
  PluginDescription plugin = {};
  plugin.version = LAMMPS_VERSION;
  plugin.style = "pair";
  plugin.author = "The aiida-lpsgb developers";
  plugin.handle = handle;
  const auto add = reinterpret_cast<RegisterPlugin>(registerplugin);

  const struct {
    const char *name, *info;
    PairFactory create;
  } styles[] = {
      {"mtp", "moment tensor potential", create<LAMMPS_NS::PairMTP>},
      {"mtp/extrapolation", "moment tensor potential with extrapolation grades", create<LAMMPS_NS::PairMTPExtrapolation>},
      {"mtp/gpu", "moment tensor potential on a GPU", create<LAMMPS_NS::PairMTPGPU>},
      {"mtp/extrapolation/gpu", "moment tensor potential on a GPU with extrapolation grades",
       create<LAMMPS_NS::PairMTPExtrapolationGPU>},
  };
  for (const auto &style : styles) {
    plugin.name = style.name;
    plugin.info = style.info;
    plugin.creator.v1 = style.create;
    add(&plugin, lmp);
  }
}
