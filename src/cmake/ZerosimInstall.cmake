# `cmake --install`: the program, its configs and docs (the default training text), and the library half:
# headers under include/zerosim, one static library a floor, find_package(zerosim) giving zerosim::base, zerosim::schedule, ...
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

if(TARGET zerosim)
  install(TARGETS zerosim RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
# share/ and not CMAKE_INSTALL_DATADIR: the program looks for its configs under <prefix>/share/zerosim.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/configs DESTINATION share/zerosim)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION share/zerosim FILES_MATCHING PATTERN "*.md")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/zerosim FILES_MATCHING PATTERN "*.hpp")
get_property(floors GLOBAL PROPERTY ZEROSIM_FLOORS)
install(TARGETS zerosim_options ${floors} EXPORT zerosimTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/zerosim)
install(EXPORT zerosimTargets NAMESPACE zerosim:: DESTINATION ${package})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/zerosimConfig.cmake.in ${PROJECT_BINARY_DIR}/zerosimConfig.cmake
  INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/zerosimConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/zerosimConfig.cmake ${PROJECT_BINARY_DIR}/zerosimConfigVersion.cmake DESTINATION ${package})
